"""The table of the audit log."""

from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import Base, Versioned, constraint_error

ACTIONS = ("create", "update", "delete")


class AuditEntry(Versioned, Base):
    """A change of a row. It has the names of fields, but no values: personal data is not kept."""

    __tablename__ = "audit_log"

    # No foreign keys: an entry outlives the rows that it names.
    resource: Mapped[str] = mapped_column(String(63))
    resource_pk: Mapped[UUID]
    action: Mapped[str] = mapped_column(String(16))
    fields: Mapped[list[str]] = mapped_column(ARRAY(String))
    user_id: Mapped[UUID | None]
    token_id: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(String(64))

    __table_args__ = (
        CheckConstraint(
            "action IN ('create', 'update', 'delete')",
            "action",
            info=constraint_error("not-one-of", "#/action", "Unknown action."),
        ),
        Index(None, "resource", "resource_pk", "pk"),
        Index(None, "resource_pk", "pk"),
        Index(None, "user_id", "pk"),
        Index(None, "created_at", "pk"),
    )
