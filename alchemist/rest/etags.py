"""Entity tags: a strong one is the hash of the representation (RFC 9110 §8.8.3)."""

import re
from hashlib import blake2b

from alchemist import errors

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
LIST = re.compile(rf"\s*(?:\*|{_TAG}(?:\s*,\s*{_TAG})*)\s*")
TAG = re.compile(_TAG)


def of(body: str) -> str:
    return f'"{blake2b(body.encode(), digest_size=12).hexdigest()}"'


def unchanged(if_none_match: str, etag: str) -> bool:
    """Compare weakly (RFC 9110 §13.1.2); a header that cannot be read matches nothing."""
    if not LIST.fullmatch(if_none_match):
        return False
    tags = TAG.findall(if_none_match)
    return not tags or etag in {tag.removeprefix("W/") for tag in tags}


def check(if_match: str | None, etag: str, current: object) -> None:
    """Compare strongly (RFC 9110 §13.1.1); raise PreconditionRequired, Malformed or Stale."""
    if if_match is None:
        raise errors.PreconditionRequired("Send If-Match with the ETag of the row.")
    if not LIST.fullmatch(if_match):
        detail = 'Not a list of entity tags such as "…"; the quotes belong to a tag.'
        raise errors.Malformed.at("header", "If-Match", detail)
    tags = TAG.findall(if_match)
    if tags and etag not in tags:
        raise errors.Stale(
            "The row has changed since that ETag.", headers={"ETag": etag}, current=current
        )
