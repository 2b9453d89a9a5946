"""Queries of the audit log."""

from datetime import datetime
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
    *,
    resource: str | None = None,
    resource_pk: UUID | None = None,
    user_id: UUID | None = None,
    created_after: datetime | None = None,
) -> Select[Any]:
    query = db.select_where(AuditEntry, resource=resource, resource_pk=resource_pk, user_id=user_id)
    if created_after is not None:
        query = query.where(AuditEntry.created_at >= created_after)
    return query
