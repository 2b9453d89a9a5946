"""The column for the key by which another system knows a row."""

from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from .constraints import constraint_info, not_blank

MAX_REFERENCE_LENGTH = 127


class ExternallyReferenced:
    """A row with a `reference`: the key by which another system knows it, unique in its table.

    References are compared by code point, whatever the collation of the database is.
    """

    reference: Mapped[str | None] = mapped_column(String(MAX_REFERENCE_LENGTH, collation="C"))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        model: Any = cls
        info = constraint_info("already-exists", "#/reference", "This reference is taken.")
        Index(None, model.__table__.c.reference, unique=True, info=info)
        model.__table__.append_constraint(not_blank("reference"))
