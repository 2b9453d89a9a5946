"""The trace that a request is part of (W3C Trace Context)."""

import re
from typing import NamedTuple, Self

# Key of the WSGI environment under which a tracer stores the context of its span.
ENVIRON_KEY = "alchemist.trace_context"
# Version, trace id, span id and flags. Later versions than 00 may have more fields.
TRACEPARENT_PATTERN = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)


class TraceContext(NamedTuple):
    """The ids of a trace and of the span of a request in it, in hex digits, and its flags."""

    trace_id: str
    span_id: str
    flags: str

    @classmethod
    def from_header(cls, traceparent: str, request_id: str) -> Self | None:
        """Return the context of a request with this header, None if the header is ill-formed.

        The span id consists of the first digits of the request id, which are random.
        """
        match = TRACEPARENT_PATTERN.fullmatch(traceparent)
        return cls(match[1], request_id[:16], match[2]) if match else None

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def log_fields(context: TraceContext | None, request_id: str) -> dict[str, str]:
    """Return the ids that each log record of a request has.

    A request without a context is a trace of its own, which has the id of the request.
    """
    ids = {"request_id": request_id, "trace_id": context.trace_id if context else request_id}
    return ids | ({"span_id": context.span_id} if context else {})
