"""The declarative base, and the columns that most models share."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Table, Text, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from uuid_utils.compat import uuid7

from . import derived_columns


class Base(DeclarativeBase):
    """The base of every model: text and time zone types, and the names of constraints.

    A row is inserted by the session, or by one statement that is made from the model. So a default
    in Python is a value or a function; PostgreSQL computes the others.
    """

    type_annotation_map = {str: Text, datetime: DateTime(timezone=True)}
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for column in cls.__table__.columns:
            if column.default is not None and not _is_value_or_function(column.default):
                raise TypeError(f"{column}: use server_default for what PostgreSQL computes.")
        derived_columns.derive_on_assignment(cls)


def _is_value_or_function(default: Any) -> bool:
    """Return whether a default is a value, or made by a function."""
    return bool(default.is_scalar or default.is_callable)


def table(model: type[Base]) -> Table:
    """Return the table of a model, for Core statements."""
    return Base.metadata.tables[model.__tablename__]


class Versioned:
    """A row with a UUIDv7 key, creation and update times, and a version counter.

    The version is checked by every UPDATE and DELETE of the unit of work.
    """

    pk: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=1)
    # clock_timestamp(), not now(): now() is the start of the transaction, before any lock wait.
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.clock_timestamp(), sort_order=1
    )
    version: Mapped[int] = mapped_column(server_default=text("1"), sort_order=1)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, object]:
        return {"version_id_col": cls.version, "eager_defaults": True}
