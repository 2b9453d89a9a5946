"""Users, their tokens and the caller over HTTP."""

import json
from typing import Any
from uuid import UUID

from flask import Response

from alchemist import errors
from alchemist.api import Blueprint, JsonResponse, Resource, idempotency, openapi
from alchemist.api.idempotency import idempotent
from alchemist.api.operations import get_representation
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

blp = Blueprint("users", __name__, url_prefix="/api/v2", description="Users and their tokens.")
TOKEN_SCHEMA, USER_SCHEMA = TokenSchema(), UserSchema()


def readable_query(pk: UUID) -> Query:
    return service.by_pk(pk, only_user_id=request.caller.owner_filter("users:read"))


def readable_token_query(user_id: UUID, pk: UUID) -> Query:
    return service.token_by_pk(pk, user_id, only_user_id=request.caller.owner_filter("tokens:read"))


def writable_token_query(user_id: UUID, pk: UUID) -> Query:
    only_user_id = request.caller.owner_filter("tokens:write")
    query = service.token_by_pk(pk, user_id, only_user_id=only_user_id)
    return query.or_forbidden(readable_token_query(user_id, pk), "tokens:write:any")


@blp.route("/users")
class UserList(Resource):
    permissions = {"get": "users:read", "post": "users:write"}

    @blp.list(UserSchema, UserListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List users

        Without the permission `users:read:any` the list has only the caller.
        """
        return service.list_query(only_user_id=request.caller.owner_filter("users:read"), **filters)

    @idempotent
    @blp.create(UserSchema, service.by_pk, body=UserSchema)
    def post(self, values: dict[str, Any]) -> User:
        """Create a user

        The role must not have permissions that the caller lacks.
        """
        return service.create(request.caller.permissions, **values)


@blp.route("/users/<uuid:pk>")
class UserItem(Resource):
    permissions = {"get": "users:read", "patch": "users:write", "delete": "users:write"}

    @blp.retrieve(UserSchema)
    def get(self, pk: UUID) -> Query:
        """Get a user

        Without the permission `users:read:any` the answer for any other user is 404.
        """
        return readable_query(pk)

    @blp.update(UserSchema, readable_query)
    def patch(self, user: User, changes: dict[str, Any]) -> None:
        """Change a user

        The role must not have permissions that the caller lacks.
        """
        service.update(user, request.caller.permissions, changes)

    @blp.destroy(UserSchema, readable_query)
    def delete(self, user: User) -> None:
        """Delete a user

        A user who owns rows, such as heroes or orders, cannot be deleted: 409 names the rows.
        Anonymise the user instead.
        """
        service.delete(user)


@blp.route("/users/<uuid:pk>/anonymise")
class AnonymiseUser(Resource):
    permissions = {"post": "users:write"}

    @idempotent
    @blp.action(UserSchema, readable_query)
    def post(self, user: User) -> None:
        """Anonymise a user

        E-mail and name are replaced, and all tokens are revoked. Heroes, stores and orders still
        belong to the user.
        """
        forgotten_values = (str(user.pk), user.email)
        service.anonymise(user)
        # Last: another request may store its response while this one waits for locks.
        idempotency.delete_responses_containing(*forgotten_values)


@blp.route("/users/<uuid:user_id>/tokens")
class TokenList(Resource):
    permissions = {"get": "tokens:read", "post": "tokens:write"}

    @blp.list(TokenSchema, TokenListQuery)
    @blp.doc(responses={404: openapi.response_component_name(404)})
    def get(self, filters: dict[str, Any], user_id: UUID) -> Query:
        """List a user's tokens

        Revoked tokens are in the list. Secrets are not.
        """
        # Raises NotFound for a user who does not exist or whose tokens the caller may not read.
        get_representation(USER_SCHEMA, _token_owner_query(user_id, "tokens:read"))
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
        """Create a token

        The secret is in `token`. It is not stored, so no later answer has it, and the operation
        takes no `Idempotency-Key`. The token must not have permissions that the caller lacks. A
        token for another user needs the permission `tokens:write:any`.
        """
        _reject_idempotency_key()
        owner_query = _token_owner_query(user_id, "tokens:write")
        user = lock_row(owner_query.or_forbidden(readable_query(user_id), "tokens:write:any"))
        caller = auth.revalidate_token("tokens:write")
        token, secret = service.issue(
            user, caller.permissions, is_scoped=caller.is_scoped, **values
        )
        stored = get_representation(TOKEN_SCHEMA, service.token_by_pk(token.pk, user_id))
        headers = {
            "Location": f"{request.path.rstrip('/')}/{token.pk}",
            "ETag": stored.etag,
            "Cache-Control": "no-store",
        }
        return JsonResponse(_with_secret(stored.body, secret), 201, headers)


@blp.route("/users/<uuid:user_id>/tokens/<uuid:pk>")
class TokenItem(Resource):
    permissions = {"get": "tokens:read", "delete": "tokens:write"}

    @blp.retrieve(TokenSchema)
    def get(self, user_id: UUID, pk: UUID) -> Query:
        """Get a token, without its secret

        A token of another user needs the permission `tokens:read:any`.
        """
        return readable_token_query(user_id, pk)

    @blp.destroy(TokenSchema, writable_token_query, require_if_match=False)
    def delete(self, token: Token) -> None:
        """Revoke a token

        The next request with the token is rejected. The token stays in the list. `If-Match` is
        optional. A token of another user needs the permission `tokens:write:any`.
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

        With open access `user` is null.
        """
        request.reject_parameters()
        caller = request.caller
        user = (
            get_representation(USER_SCHEMA, service.by_pk(caller.user_id)).body
            if caller.user_id
            else "null"
        )
        permissions = json.dumps(sorted(caller.permissions))
        return JsonResponse(f'{{"user":{user},"permissions":{permissions}}}')


def _token_owner_query(user_id: UUID, permission: str) -> Query:
    """Select the user in the path; without `<permission>:any` only the caller is found."""
    return service.by_pk(user_id, only_user_id=request.caller.owner_filter(permission))


def _with_secret(token_json: str, secret: str) -> str:
    """Append the member `token` to a JSON object."""
    return f'{token_json[:-1]},"token":{json.dumps(secret)}}}'


def _reject_idempotency_key() -> None:
    if "Idempotency-Key" in request.headers:
        detail = "This operation takes no key: its answer has a secret, which is not stored."
        raise errors.BadRequest.at_location("header", "Idempotency-Key", detail)
