"""Entity tags: a strong one is the hash of the representation (RFC 9110 §8.8.3)."""

import re
from hashlib import blake2b

from alchemist import errors

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Empty members are allowed (RFC 9110 §5.6.1.2). Nothing that was read is given back: white space
# that could belong to two places would be tried in both, twice as long with every comma.
TAG_LIST = re.compile(rf"(?:{_TAG})?+(?:\s*+,\s*+(?:{_TAG})?+)*+")
ENTITY_TAG = re.compile(_TAG)
WILDCARD = "*"


def compute(body: str) -> str:
    return f'"{blake2b(body.encode(), digest_size=12).hexdigest()}"'


def matches_weakly(if_none_match: str, etag: str) -> bool:
    """Compare weakly (RFC 9110 §13.1.2); a header that cannot be read matches nothing."""
    if if_none_match.strip() == WILDCARD:
        return True
    return etag in {tag.removeprefix("W/") for tag in _tags(if_none_match)}


def _tags(header: str) -> list[str]:
    """Return the tags of a list, none if it is not one."""
    return ENTITY_TAG.findall(header) if TAG_LIST.fullmatch(header.strip()) else []


def require_match(if_match: str | None, etag: str, current: object) -> None:
    """Compare strongly (RFC 9110 §13.1.1); raise PreconditionRequired, Malformed or Stale."""
    if if_match is None:
        raise errors.PreconditionRequired("Send If-Match with the ETag of the row.")
    if if_match.strip() == WILDCARD:
        return
    tags = _tags(if_match)
    if not tags:
        detail = 'Not a list of entity tags such as "…"; the quotes belong to a tag.'
        raise errors.BadRequest.at_location("header", "If-Match", detail)
    if etag not in tags:
        raise errors.PreconditionFailed(
            "The row has changed since that ETag.", headers={"ETag": etag}, current=current
        )
