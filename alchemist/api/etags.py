"""Entity tags (RFC 9110 §8.8.3): a strong one is the hash of the representation."""

import re
from hashlib import blake2b

from alchemist import errors

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Empty elements are allowed (RFC 9110 §5.6.1.2). The possessive quantifiers prevent backtracking:
# white space that could match in two places would double the time with every comma.
TAG_LIST = re.compile(rf"(?:{_TAG})?+(?:\s*+,\s*+(?:{_TAG})?+)*+")
ENTITY_TAG = re.compile(_TAG)
WILDCARD = "*"
CHANGED = "The row has changed since that ETag."

errors.register_problem_type(
    "weak-etag",
    412,
    "`If-Match` needs a strong ETag (RFC 9110 §13.1.1), but contains the current one only as a "
    "weak ETag, with `W/` before it. Proxies that compress responses add it. The response "
    "contains the current row in `current`, and its `ETag`.",
    "The ETag is weak. Send it without W/.",
)


def compute_etag(body: str) -> str:
    """Return the strong entity tag of a representation, quotes included."""
    return f'"{blake2b(body.encode(), digest_size=12).hexdigest()}"'


def matches_weakly(if_none_match: str, etag: str) -> bool:
    """Return whether the If-None-Match header contains the tag (weak comparison, RFC 9110 §13.1.2).

    A malformed header matches nothing.
    """
    if if_none_match.strip() == WILDCARD:
        return True
    return etag in {tag.removeprefix("W/") for tag in _parse_tags(if_none_match)}


def require_match(if_match: str | None, etag: str, current: object) -> None:
    """Raise an error unless the If-Match header contains the tag (strong, RFC 9110 §13.1.1).

    The error is PreconditionRequired without a header, BadRequest for a malformed one, and
    PreconditionFailed for any other tag, with the code `weak-etag` if it would match weakly. The
    last one has the extension member `current`.
    """
    if if_match is None:
        raise errors.PreconditionRequired("Send If-Match with the ETag of the row.")
    if if_match.strip() == WILDCARD:
        return
    tags = _parse_tags(if_match)
    if not tags:
        detail = 'Not a list of entity tags such as "…"; the quotes are part of the tag.'
        raise errors.BadRequest.at_location("header", "If-Match", detail)
    if etag not in tags:
        is_weak = f"W/{etag}" in tags
        raise errors.PreconditionFailed(
            "The ETag is weak. Send it without W/." if is_weak else CHANGED,
            code="weak-etag" if is_weak else None,
            headers={"ETag": etag},
            current=current,
        )


def _parse_tags(header: str) -> list[str]:
    """Return the tags of a list of entity tags, none if the header is malformed."""
    return ENTITY_TAG.findall(header) if TAG_LIST.fullmatch(header.strip()) else []
