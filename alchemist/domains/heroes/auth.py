"""Restricts heroes to those that the caller may write."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from alchemist.api.request import request
from alchemist.database import Query

from . import service

WRITE = "heroes:write"


def writable_query(pk: UUID) -> Query:
    query = service.by_pk(pk, owner_id=request.caller.owner_filter(WRITE))
    return query.or_forbidden_if_in(service.by_pk(pk), f"{WRITE}:any")


def check_owner(values: Mapping[str, Any]) -> None:
    """Raise Forbidden if the values name another owner and the caller lacks `heroes:write:any`."""
    if "user_id" in values:
        request.caller.check_owner(WRITE, values["user_id"], "#/user_id")
