"""The time that statements take, and the names of those that take long."""

import sys
from collections.abc import Iterator
from time import monotonic
from types import FrameType

from . import deadline

# Seconds from which a statement is slow; `configure_engines` sets the configured time.
slow_from = float("inf")


def record_statement_time(started_at: float) -> None:
    """Add the time of a statement, which started at `started_at`, to that of the request."""
    seconds = monotonic() - started_at
    deadline.add_statement_time(seconds)
    if seconds >= slow_from:
        deadline.add_slow_statement(_calling_function_name(), seconds)


def _calling_function_name() -> str:
    """Return the function, outside of this package, that runs the current statement."""
    for frame in _stack_frames():
        module = frame.f_globals.get("__name__", "")
        if module.startswith("alchemist.") and not module.startswith("alchemist.database."):
            return f"{module.removeprefix('alchemist.')}.{frame.f_code.co_qualname}"
    return "unknown"


def _stack_frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe()
    while frame:
        yield frame
        frame = frame.f_back
