"""The table of responses that are stored under an idempotency key, and their deletion."""

import re
from datetime import datetime, timedelta
from typing import Any
from unicodedata import normalize
from uuid import UUID

from sqlalchemy import Index, Integer, String, Text, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import Base, session

TTL = timedelta(hours=24)


UUID_PATTERN = re.compile(r"[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}")


# What ends an e-mail address in a body: also the quotation marks of JSON, escaped or not.
ADDRESS_END_PATTERN = re.compile(r'[\s"\\<>]+')


# Characters: an address has fewer, and the normalisation of a long text takes quadratic time.
MAX_ADDRESS_LENGTH = 1000


class IdempotencyKey(Base):
    """The response to the first request with a key, written in the transaction of its effect."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str]
    # Null for requests of former versions.
    method: Mapped[str | None] = mapped_column(String(16))
    path: Mapped[str | None]
    status: Mapped[int]
    headers: Mapped[dict[str, str]] = mapped_column(JSONB)
    body: Mapped[str]
    # The primary keys and e-mail addresses in path and body: whose data they may contain.
    identifiers: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    # The permissions of the caller that the response needed.
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "caller", "created_at"),
        Index(None, "identifiers", postgresql_using="gin"),
    )


# The row lock makes the commit of a repetition wait for the synchronous standby: that of the first
# request may have been canceled while it waited, and is then stored on the primary only.
STORED = (
    select(IdempotencyKey)
    .where(
        IdempotencyKey.caller == bindparam("caller"),
        IdempotencyKey.key == bindparam("key"),
        IdempotencyKey.created_at >= func.now() - TTL,
    )
    .with_for_update(read=True, key_share=True)
)


STORED_STATE = STORED.with_only_columns(
    IdempotencyKey.method,
    IdempotencyKey.path,
    IdempotencyKey.status,
    IdempotencyKey.headers["Location"].astext.label("location"),
    IdempotencyKey.created_at,
    (IdempotencyKey.created_at + TTL).label("expires_at"),
)


# Those of the caller that are older than the newest `most`. A locked row is left to the request
# that has locked it.
_of_caller = IdempotencyKey.caller == bindparam("of_caller")


_oldest_kept = (
    select(IdempotencyKey.created_at)
    .where(_of_caller)
    .order_by(IdempotencyKey.created_at.desc())
    .offset(bindparam("most", type_=Integer()) - 1)
    .limit(1)
    .scalar_subquery()
)


_too_old = (
    select(IdempotencyKey.key)
    .where(_of_caller, IdempotencyKey.created_at < _oldest_kept)
    .with_for_update(skip_locked=True)
)


DELETE_OLDEST = (
    delete(IdempotencyKey)
    .where(_of_caller, IdempotencyKey.key.in_(_too_old))
    .execution_options(synchronize_session=False)
)


NO_SYNC = {"synchronize_session": False}


def pks_and_emails_in(content: str) -> list[str]:
    """Return the primary keys and the e-mail addresses in a text, normalised."""
    words = ADDRESS_END_PATTERN.split(content) if "@" in content else []
    addresses = [word for word in words if "@" in word and len(word) <= MAX_ADDRESS_LENGTH]
    return sorted(
        {_normalize_pk_or_email(found) for found in (*UUID_PATTERN.findall(content), *addresses)}
    )


def _normalize_pk_or_email(identifier: str) -> str:
    """Return a key as 32 hex digits, and an address as it is compared."""
    if UUID_PATTERN.fullmatch(identifier):
        return identifier.replace("-", "").lower()
    return normalize("NFKC", identifier).casefold()


def delete_responses_mentioning(*identifiers: UUID | str) -> None:
    """Delete the stored responses that contain one of these primary keys or e-mail addresses."""
    texts = [_normalize_pk_or_email(str(identifier)) for identifier in identifiers]
    mentions = IdempotencyKey.identifiers.overlap(texts)
    session.execute(delete(IdempotencyKey).where(mentions), execution_options=NO_SYNC)


def delete_expired_responses() -> int:
    """Delete all stored responses that are older than the TTL; return how many."""
    result: Any = session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - TTL),
        execution_options=NO_SYNC,
    )
    return int(result.rowcount)
