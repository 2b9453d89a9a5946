"""The older service of users."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, cast, func

from alchemist.api.fields import Pk, Text
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.users import service
from alchemist.domains.users.models import User
from alchemist.domains.users.schemas import (
    EMAIL_DESCRIPTION,
    EXAMPLE_PK,
    FULL_NAME_DESCRIPTION,
    Email,
)

from . import PREFIX
from .blueprint import Blueprint, Resource, Schema

blp = Blueprint(
    "v1-users", __name__, url_prefix=f"{PREFIX}/user", description="The older service of users."
)

HEX_OR_UUID = "^[0-9a-fA-F]{32}$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class HexPk(Pk):
    """A primary key as 32 hex digits, read with dashes, too."""

    def __init__(self, pattern: str, **how: Any) -> None:
        metadata = {
            "description": "The primary key of the user, without dashes.",
            # Not a `uuid`, which has dashes.
            "format": "hex",
            "pattern": pattern,
        }
        super().__init__(example=EXAMPLE_PK.replace("-", ""), metadata=metadata, **how)

    def _serialize(self, value: UUID | None, *args: Any, **kwargs: Any) -> str | None:
        return value.hex if value else None

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if isinstance(value, str) and len(value) == 32:
            value = f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"
        return super()._deserialize(value, attr, data, **kwargs)

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.replace(cast(column, String), "-", "")


class UserSchema(Schema):
    id = HexPk("^[0-9a-f]{32}$", dump_only=True, attribute="pk")
    email = Email(required=True, metadata={"description": EMAIL_DESCRIPTION})
    full_name = Text(
        required=True,
        min=1,
        max=255,
        example="Ada Ingram",
        metadata={"description": FULL_NAME_DESCRIPTION},
    )


class UserQuery(Schema):
    id = HexPk(HEX_OR_UUID, required=True)


@blp.route("/get-users")
class V1UserList(Resource):
    permissions = {"get": "users:read"}
    successor = "/api/v2/users"

    @blp.list(UserSchema)
    def get(self) -> Query:
        """List users"""
        return service.list_query(visible_to=request.caller.owner_filter("users:read"))


@blp.route("/get-user")
class V1UserItem(Resource):
    permissions = {"get": "users:read"}
    successor = "/api/v2/users"

    @blp.arguments(UserQuery(), location="query")
    @blp.retrieve(UserSchema)
    def get(self, which: dict[str, Any]) -> Query:
        """Get a user"""
        return service.by_pk(which["id"], visible_to=request.caller.owner_filter("users:read"))


@blp.route("/create-user")
class V1CreateUser(Resource):
    permissions = {"post": "users:write"}
    successor = "/api/v2/users"

    @blp.create(UserSchema, service.by_pk, status=200, body=UserSchema)
    def post(self, values: dict[str, Any]) -> User:
        """Create a user"""
        return service.create(request.caller.permissions, **values)
