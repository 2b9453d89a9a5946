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
    query = select(AuditEntry)
    if resource is not None:
        query = query.where(AuditEntry.resource == resource)
    if pk is not None:
        query = query.where(AuditEntry.resource_pk == pk)
    if user_id is not None:
        query = query.where(AuditEntry.user_id == user_id)
    return query
