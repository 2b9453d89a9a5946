"""Users, their tokens and the caller over HTTP."""

import json
from typing import Any
from uuid import UUID

from flask import Response

from alchemist import errors, idempotency
from alchemist.db import Query, lock
from alchemist.idempotency import idempotent
from alchemist.rest import Answer, Blueprint, Resource, openapi
from alchemist.rest.blueprint import fetch
from alchemist.rest.request import request

from . import auth, service
from .models import Token, User
from .schemas import (
    MeSchema,
    TokenFilters,
    TokenSchema,
    TokenSecretSchema,
    UserFilters,
    UserSchema,
)

blp = Blueprint("users", __name__, url_prefix="/api/v2", description="Who may ask.")
TOKEN, USER = TokenSchema(), UserSchema()


def readable(pk: UUID) -> Query:
    return service.get(pk, user_id=request.caller.own("users:read"))


def readable_token(user_id: UUID, pk: UUID) -> Query:
    return service.get_token(pk, user_id, user_id=request.caller.own("tokens:read"))


def writable_token(user_id: UUID, pk: UUID) -> Query:
    return service.get_token(pk, user_id, user_id=request.caller.own("tokens:write"))


@blp.route("/users")
class Users(Resource):
    permissions = {"get": "users:read", "post": "users:write"}

    @blp.lists(UserSchema, UserFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List users

        Without the permission `users:read:any` this is the caller alone.
        """
        return service.browse(user_id=request.caller.own("users:read"), **filters)

    @idempotent
    @blp.arguments(UserSchema)
    @blp.creates(UserSchema, service.get)
    def post(self, values: dict[str, Any]) -> User:
        """Create a user

        Nobody hands out a role that permits more than they hold themselves.
        """
        return service.create(request.caller.permissions, **values)


@blp.route("/users/<uuid:pk>")
class OneUser(Resource):
    permissions = {"get": "users:read", "patch": "users:write", "delete": "users:write"}

    @blp.shows(UserSchema)
    def get(self, pk: UUID) -> Query:
        """Get a user

        Without the permission `users:read:any` others than the caller are as if they were not.
        """
        return readable(pk)

    @blp.changes(UserSchema, readable)
    def patch(self, user: User, changes: dict[str, Any]) -> None:
        """Change a user

        Nobody hands out a role that permits more than they hold themselves.
        """
        service.update(user, request.caller.permissions, changes)

    @blp.deletes(UserSchema, readable)
    def delete(self, user: User) -> None:
        """Delete a user

        One that owns heroes is kept: 409 names them. Anonymise that user instead.
        """
        service.delete(user)


@blp.route("/users/<uuid:pk>/anonymise")
class AnonymousUser(Resource):
    permissions = {"post": "users:write"}

    @idempotent
    @blp.acts(UserSchema, readable)
    def post(self, user: User) -> None:
        """Anonymise a user

        E-mail and name are replaced and all tokens revoked; what belongs to the user stays.
        """
        known = (str(user.pk), user.email)
        service.anonymise(user)
        # Last, for what was answered while this waited is not to be read again either.
        idempotency.forget(*known)


@blp.route("/users/<uuid:user_id>/tokens")
class Tokens(Resource):
    permissions = {"get": "tokens:read", "post": "tokens:write"}

    @blp.lists(TokenSchema, TokenFilters)
    @blp.doc(responses={404: openapi.component(404)})
    def get(self, filters: dict[str, Any], user_id: UUID) -> Query:
        """List a user's tokens

        Their secrets are not among what is answered; revoked ones are.
        """
        fetch(USER, _owner(user_id, "tokens:read"))
        return service.browse_tokens(user_id)

    @blp.arguments(TokenSchema)
    @blp.doc(
        responses={
            201: openapi.response(
                "The token, with its secret.", TokenSecretSchema, openapi.ETAG | openapi.LOCATION
            ),
            **openapi.refusals(404, 406, 409, 413, 415),
        }
    )
    def post(self, values: dict[str, Any], user_id: UUID) -> Response:
        """Make a token

        The secret is in `token`, here and never again. Nobody hands out a permission that they do
        not hold, and a token for somebody else needs `tokens:write:any`. Because the answer is not
        stored, this operation takes no `Idempotency-Key`.
        """
        _refuse_key()
        user = lock(_owner(user_id, "tokens:write"))
        caller = auth.confirm("tokens:write")
        token, secret = service.issue(
            user, caller.permissions, is_narrowed=caller.is_narrowed, **values
        )
        document = fetch(TOKEN, service.get_token(token.pk, user_id))
        place = f"{request.path.rstrip('/')}/{token.pk}"
        body = f'{document.body[:-1]},"token":{json.dumps(secret)}}}'
        headers = {"Location": place, "ETag": document.etag, "Cache-Control": "no-store"}
        return Answer(body, 201, headers)


@blp.route("/users/<uuid:user_id>/tokens/<uuid:pk>")
class OneToken(Resource):
    permissions = {"get": "tokens:read", "delete": "tokens:write"}

    @blp.shows(TokenSchema)
    def get(self, user_id: UUID, pk: UUID) -> Query:
        """Get a token, without its secret

        Those of others are seen with the permission `tokens:read:any` only.
        """
        return readable_token(user_id, pk)

    @blp.deletes(TokenSchema, writable_token, conditional=False)
    def delete(self, token: Token) -> None:
        """Revoke a token

        At once: the next request with it is refused, and it stays listed. It needs no `If-Match`.
        Those of others are revoked with the permission `tokens:write:any` only.
        """
        service.revoke(token)


@blp.route("/me")
class Me(Resource):
    permissions = {"get": "me:read"}

    @blp.doc(
        responses={200: openapi.response("The caller.", MeSchema, {}), **openapi.refusals(406)}
    )
    def get(self) -> Response:
        """Get the caller's user and permissions

        With open access there is no user.
        """
        request.settle()
        caller = request.caller
        user = fetch(USER, service.get(caller.user_id)).body if caller.user_id else "null"
        permissions = json.dumps(sorted(caller.permissions))
        return Answer(f'{{"user":{user},"permissions":{permissions}}}')


def _owner(user_id: UUID, permission: str) -> Query:
    """Return the user whose tokens are asked for; those of others are as if they were not."""
    return service.get(user_id, user_id=request.caller.own(permission))


def _refuse_key() -> None:
    if "Idempotency-Key" in request.headers:
        detail = "This operation takes no key: its answer holds a secret that is not kept."
        raise errors.Malformed.at("header", "Idempotency-Key", detail)
