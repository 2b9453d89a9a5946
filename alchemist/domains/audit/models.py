"""The table of the audit log."""

from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, Index, String
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import Base, Versioned, error_info

ACTIONS = ("create", "update", "delete")


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

    __table_args__ = (
        CheckConstraint(
            "action IN ('create', 'update', 'delete')",
            "action",
            info=error_info("not-one-of", "#/action", "Unknown action."),
        ),
        Index(None, "resource", "resource_pk", "pk"),
        Index(None, "resource_pk", "pk"),
        Index(None, "user_id", "pk"),
        Index(None, "created_at", "pk"),
    )
