"""The table of the audit log."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Identity, Index, Sequence, String, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import Base, Versioned, check, sort_indexes

ACTIONS = ("create", "update", "delete")
# It is never incremented: `alchemist after-restore` sets it. A restored database may number its
# transactions from a lower number, and the feed of changes needs numbers that never decrease.
OFFSET_SEQUENCE = Sequence("audit_log_offset", metadata=Base.metadata)
OFFSET = "coalesce(pg_sequence_last_value('audit_log_offset'::regclass), 0)"
TRANSACTION_ID = text(
    "greatest(pg_current_xact_id()::text::bigint,"
    f" pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) + {OFFSET}"
)


class AuditEntry(Versioned, Base):
    """A change of a row. It has the names of fields, but no values: personal data is not kept.

    The exceptions are columns whose `info` has `audit_values`: their values are in `changes`.
    """

    __tablename__ = "audit_log"

    # No foreign keys: an entry outlives the rows that it names.
    resource: Mapped[str] = mapped_column(String(63))
    resource_pk: Mapped[UUID]
    action: Mapped[str] = mapped_column(String(16))
    fields: Mapped[list[str]] = mapped_column(ARRAY(String))
    # Objects with `field`, `from` and `to`, as clients see them.
    changes: Mapped[list[dict[str, str | None]]] = mapped_column(JSON, server_default="[]")
    user_id: Mapped[UUID | None]
    token_id: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
    client_request_id: Mapped[str | None] = mapped_column(String(64))
    client_address: Mapped[str | None] = mapped_column(String(45))
    os_user: Mapped[str | None] = mapped_column(String(255))
    # The feed of changes sorts by these two. Both never decrease from one version of a row to the
    # next, because each writer locks the row before its entry is inserted. `transaction_id` is the
    # transaction of the change, or the newest that has ended, if that is newer, plus the offset.
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    transaction_id: Mapped[int] = mapped_column(BigInteger, server_default=TRANSACTION_ID)

    __table_args__ = (
        check(
            "action IN ('create', 'update', 'delete')",
            "action",
            error=("not-one-of", "#/action", "Unknown action."),
        ),
        Index(None, "resource", "resource_pk", "pk"),
        *sort_indexes("resource_pk", "user_id", "created_at"),
        Index(None, "sequence"),
        Index(None, "transaction_id"),
    )


def audited_resources() -> list[str]:
    """Return the names of all resources whose changes are in the log: their tables."""
    domains = import_module("alchemist.domains")
    for package in iter_modules(domains.__path__):
        import_module(f"alchemist.domains.{package.name}.models")
    models: list[Any] = [each for each in Versioned.__subclasses__() if each is not AuditEntry]
    return sorted(each.__tablename__ for each in models)
