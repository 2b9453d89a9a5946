"""Users, their tokens and the caller over HTTP."""

import json
from typing import Any
from uuid import UUID

from flask import Response

from alchemist import errors
from alchemist.api import Blueprint, JsonResponse, Resource, idempotency, openapi
from alchemist.api.blueprint import get_representation
from alchemist.api.idempotency import idempotent
from alchemist.api.request import request
from alchemist.database import Query, lock_row

from . import auth, service
from .models import Token, User
from .schemas import (
    MeSchema,
    TokenListQuery,
    TokenSchema,
    TokenSecretSchema,
    UserListQuery,
    UserSchema,
)

blp = Blueprint("users", __name__, url_prefix="/api/v2", description="Who may ask.")
TOKEN_PARAMETER, USER_PARAMETER = TokenSchema(), UserSchema()


def readable_query(pk: UUID) -> Query:
    return service.by_pk(pk, user_id=request.caller.own("users:read"))


def readable_token_query(user_id: UUID, pk: UUID) -> Query:
    return service.token_by_pk(pk, user_id, user_id=request.caller.own("tokens:read"))


def writable_token_query(user_id: UUID, pk: UUID) -> Query:
    return service.token_by_pk(pk, user_id, user_id=request.caller.own("tokens:write"))


@blp.route("/users")
class UserList(Resource):
    permissions = {"get": "users:read", "post": "users:write"}

    @blp.list(UserSchema, UserListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List users

        Without the permission `users:read:any` this is the caller alone.
        """
        return service.list_query(user_id=request.caller.own("users:read"), **filters)

    @idempotent
    @blp.arguments(UserSchema)
    @blp.create(UserSchema, service.by_pk)
    def post(self, values: dict[str, Any]) -> User:
        """Create a user

        Nobody hands out a role that permits more than they hold themselves.
        """
        return service.create(request.caller.permissions, **values)


@blp.route("/users/<uuid:pk>")
class UserItem(Resource):
    permissions = {"get": "users:read", "patch": "users:write", "delete": "users:write"}

    @blp.retrieve(UserSchema)
    def get(self, pk: UUID) -> Query:
        """Get a user

        Without the permission `users:read:any` others than the caller are as if they were not.
        """
        return readable_query(pk)

    @blp.update(UserSchema, readable_query)
    def patch(self, user: User, changes: dict[str, Any]) -> None:
        """Change a user

        Nobody hands out a role that permits more than they hold themselves.
        """
        service.update(user, request.caller.permissions, changes)

    @blp.destroy(UserSchema, readable_query)
    def delete(self, user: User) -> None:
        """Delete a user

        One that owns heroes is kept: 409 names them. Anonymise that user instead.
        """
        service.delete(user)


@blp.route("/users/<uuid:pk>/anonymise")
class AnonymiseUser(Resource):
    permissions = {"post": "users:write"}

    @idempotent
    @blp.action(UserSchema, readable_query)
    def post(self, user: User) -> None:
        """Anonymise a user

        E-mail and name are replaced and all tokens revoked; what belongs to the user stays.
        """
        known = (str(user.pk), user.email)
        service.anonymise(user)
        # Last, for what was answered while this waited is not to be read again either.
        idempotency.delete_responses_containing(*known)


@blp.route("/users/<uuid:user_id>/tokens")
class TokenList(Resource):
    permissions = {"get": "tokens:read", "post": "tokens:write"}

    @blp.list(TokenSchema, TokenListQuery)
    @blp.doc(responses={404: openapi.response_component_name(404)})
    def get(self, filters: dict[str, Any], user_id: UUID) -> Query:
        """List a user's tokens

        Their secrets are not among what is answered; revoked ones are.
        """
        get_representation(USER_PARAMETER, _token_owner(user_id, "tokens:read"))
        return service.list_tokens_query(user_id)

    @blp.arguments(TokenSchema)
    @blp.doc(
        responses={
            201: openapi.response(
                "The token, with its secret.",
                TokenSecretSchema,
                openapi.ETAG_HEADERS | openapi.LOCATION_HEADERS,
            ),
            **openapi.error_responses(404, 406, 409, 413, 415),
        }
    )
    def post(self, values: dict[str, Any], user_id: UUID) -> Response:
        """Make a token

        The secret is in `token`, here and never again. Nobody hands out a permission that they do
        not hold, and a token for somebody else needs `tokens:write:any`. Because the answer is not
        stored, this operation takes no `Idempotency-Key`.
        """
        _reject_idempotency_key()
        user = lock_row(_token_owner(user_id, "tokens:write"))
        caller = auth.revalidate_token("tokens:write")
        token, secret = service.issue(
            user, caller.permissions, is_narrowed=caller.is_narrowed, **values
        )
        document = get_representation(TOKEN_PARAMETER, service.token_by_pk(token.pk, user_id))
        place = f"{request.path.rstrip('/')}/{token.pk}"
        body = f'{document.body[:-1]},"token":{json.dumps(secret)}}}'
        headers = {"Location": place, "ETag": document.etag, "Cache-Control": "no-store"}
        return JsonResponse(body, 201, headers)


@blp.route("/users/<uuid:user_id>/tokens/<uuid:pk>")
class TokenItem(Resource):
    permissions = {"get": "tokens:read", "delete": "tokens:write"}

    @blp.retrieve(TokenSchema)
    def get(self, user_id: UUID, pk: UUID) -> Query:
        """Get a token, without its secret

        Those of others are seen with the permission `tokens:read:any` only.
        """
        return readable_token_query(user_id, pk)

    @blp.destroy(TokenSchema, writable_token_query, conditional=False)
    def delete(self, token: Token) -> None:
        """Revoke a token

        At once: the next request with it is refused, and it stays listed. It needs no `If-Match`.
        Those of others are revoked with the permission `tokens:write:any` only.
        """
        service.revoke(token)


@blp.route("/me")
class Me(Resource):
    permissions = {"get": "me:read"}
    operation_ids = {"get": "getMe"}

    @blp.doc(
        responses={
            200: openapi.response("The caller.", MeSchema, {}),
            **openapi.error_responses(406),
        }
    )
    def get(self) -> Response:
        """Get the caller's user and permissions

        With open access there is no user.
        """
        request.raise_for_errors()
        caller = request.caller
        user = (
            get_representation(USER_PARAMETER, service.by_pk(caller.user_id)).body
            if caller.user_id
            else "null"
        )
        permissions = json.dumps(sorted(caller.permissions))
        return JsonResponse(f'{{"user":{user},"permissions":{permissions}}}')


def _token_owner(user_id: UUID, permission: str) -> Query:
    """Return the user whose tokens are asked for; those of others are as if they were not."""
    return service.by_pk(user_id, user_id=request.caller.own(permission))


def _reject_idempotency_key() -> None:
    if "Idempotency-Key" in request.headers:
        detail = "This operation takes no key: its answer holds a secret that is not kept."
        raise errors.BadRequest.at_location("header", "Idempotency-Key", detail)
