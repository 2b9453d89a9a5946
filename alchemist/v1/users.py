"""Users of v1."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, cast, func

from alchemist.api import problem_codes
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.users import service
from alchemist.domains.users.models import User
from alchemist.domains.users.schemas import (
    EMAIL_DESCRIPTION,
    EXAMPLE_PK,
    FULL_NAME_DESCRIPTION,
)

from . import PREFIX
from .blueprint import Blueprint, Resource
from .fields import EmailWithDisplayName, TextOrNumber, UuidOrHex
from .schema import Schema

blp = Blueprint("v1-users", __name__, url_prefix=f"{PREFIX}/user", description="Users.")


class HexPk(UuidOrHex):
    """A primary key, serialized as 32 hex digits."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {
            "description": "The primary key of the user.",
            # The format `uuid` has dashes.
            "format": "hex",
            "pattern": "^[0-9a-f]{32}$",
        }
        super().__init__(example=EXAMPLE_PK.replace("-", ""), metadata=metadata, **kwargs)

    def _serialize(self, value: UUID | None, *args: Any, **kwargs: Any) -> str | None:
        return value.hex if value else None

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.replace(cast(column, String), "-", "")


class UserSchema(Schema):
    id = HexPk(dump_only=True, attribute="pk")
    email = EmailWithDisplayName(
        required=True, description=f"{EMAIL_DESCRIPTION} A display name before it is dropped."
    )
    full_name = TextOrNumber(
        required=True, min=1, max=255, example="Ada Ingram", description=FULL_NAME_DESCRIPTION
    )


class UserQuery(Schema):
    id = HexPk(required=True)


@blp.route("/get-users")
class V1UserList(Resource):
    permissions = {"get": "users:read"}
    successor = "/api/v2/users"

    @blp.list(UserSchema)
    def get(self) -> Query:
        """List users"""
        return service.list_query(only_user_id=request.caller.owner_filter("users:read"))


@blp.route("/get-user")
class V1UserItem(Resource):
    permissions = {"get": "users:read"}
    successor = "/api/v2/users"

    @blp.arguments(UserQuery(), location="query")
    @blp.retrieve(UserSchema)
    @blp.doc(**problem_codes.as_operation_member("required", "wrong-type"))
    def get(self, query: dict[str, Any]) -> Query:
        """Get a user"""
        return service.by_pk(query["id"], only_user_id=request.caller.owner_filter("users:read"))


@blp.route("/create-user")
class V1CreateUser(Resource):
    permissions = {"post": "users:write"}
    successor = "/api/v2/users"

    @blp.create(UserSchema, service.by_pk, status=200, body=UserSchema, problems=["already-exists"])
    def post(self, values: dict[str, Any]) -> User:
        """Create a user"""
        return service.create(request.caller.permissions, **values)
