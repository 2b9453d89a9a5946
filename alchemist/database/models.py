"""The base of the models, and the columns that most of them share."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Table, Text, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from uuid_utils.compat import uuid7


class Base(DeclarativeBase):
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


def table(model: type[Base]) -> Table:
    """Return what a model is mapped to, for statements that need no objects."""
    return Base.metadata.tables[model.__tablename__]


class Versioned:
    """A row with a key in creation order, its two instants, and a counter of its writes."""

    pk: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=1)
    # The clock and not now(): a writer that waited for a lock began before the one it waited for.
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.clock_timestamp(), sort_order=1
    )
    version: Mapped[int] = mapped_column(server_default=text("1"), sort_order=1)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, object]:
        return {"version_id_col": cls.version, "eager_defaults": True}
