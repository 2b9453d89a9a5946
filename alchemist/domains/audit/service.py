"""Queries of the audit log."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db

from .models import AuditEntry


@db.cached_query
def by_pk(pk: UUID) -> Select[Any]:
    return select(AuditEntry).where(AuditEntry.pk == pk)


@db.cached_query
def list_query(
    *, resource: str | None = None, pk: UUID | None = None, user_id: UUID | None = None
) -> Select[Any]:
    return db.select_where(AuditEntry, resource=resource, resource_pk=pk, user_id=user_id)
