"""Tokens of users, and the caller whom a token authenticates, over HTTP."""

import json
from typing import Any
from uuid import UUID

from flask import Response

from alchemist import errors
from alchemist.api import JsonResponse, Resource, openapi, problem_codes
from alchemist.api.idempotency import idempotent
from alchemist.api.operations import get_representation, load_body_as_args
from alchemist.api.request import request
from alchemist.database import Query, lock_row

from . import auth, service, token_service
from .blueprint import USER_SCHEMA, blp, readable_query
from .models import Token
from .schemas import MeSchema, RevokedTokensSchema, TokenListQuery, TokenSchema, TokenSecretSchema

# The blueprint of users, with the routes of this module.
__all__ = ["blp"]


# Instead of the secret of a dry run, which nobody should store: it is not valid.
PLACEHOLDER = "dry-run"
TOKEN_SCHEMA = TokenSchema()


def readable_token_query(user_id: UUID, pk: UUID) -> Query:
    return token_service.token_by_pk(
        pk, user_id, only_user_id=request.caller.owner_filter("tokens:read")
    )


def writable_token_query(user_id: UUID, pk: UUID) -> Query:
    only_user_id = request.caller.owner_filter("tokens:write")
    query = token_service.token_by_pk(pk, user_id, only_user_id=only_user_id)
    return query.or_forbidden_if_in(readable_token_query(user_id, pk), "tokens:write:any")


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
        return token_service.list_tokens_query(user_id)

    @blp.arguments(TokenSchema)
    @blp.doc(
        responses={
            201: openapi.response_object(
                "The token, with its secret.",
                TokenSecretSchema,
                openapi.ETAG_HEADERS | openapi.LOCATION_HEADERS,
            ),
            **openapi.with_common_error_responses(404, 406, 409, 413, 415),
        },
        **problem_codes.as_operation_member("out-of-range", "token-limit-reached", "user-inactive"),
    )
    def post(self, values: dict[str, Any], user_id: UUID) -> Response:
        """Create a token

        The secret is in `token`; in a dry run that is `dry-run`. It is not stored, so no later
        answer has it, and the operation takes no `Idempotency-Key`. The token must not have
        permissions that the caller lacks, and has `tokens:write` only if the request names it. A
        token that is made with a token ends with it at the latest: it expires no later, and is
        revoked with it. To replace a token without an interruption, make a new one with a third
        token, use it everywhere, and then revoke the old one. A user has at most 100 live tokens. A
        token for another user needs the permission `tokens:write:any`.
        """
        _reject_idempotency_key()
        owner_query = _token_owner_query(user_id, "tokens:write")
        user = lock_row(owner_query.or_forbidden_if_in(readable_query(user_id), "tokens:write:any"))
        caller = auth.reload_caller_and_lock_token("tokens:write")
        token, secret = token_service.issue_token(
            user,
            caller.permissions,
            is_scoped=caller.is_scoped,
            made_with_id=caller.token_id,
            latest_expiry=auth.latest_token_expiry(),
            **values,
        )
        stored = get_representation(TOKEN_SCHEMA, token_service.token_by_pk(token.pk, user_id))
        headers = {
            "Location": f"{request.path.rstrip('/')}/{token.pk}",
            "ETag": stored.etag,
        }
        shown_secret = PLACEHOLDER if request.is_dry_run else secret
        return JsonResponse(_with_secret(stored.body, shown_secret), 201, headers)


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

        The next request with the token is rejected, and so are those with tokens that were made
        with it; other nodes of the service reject them within a second. They stay in the list.
        `If-Match` is optional. A token of another user needs the permission `tokens:write:any`.
        """
        token_service.revoke_token(token)


@blp.route("/users/<uuid:user_id>/tokens/revoke")
class RevokeTokens(Resource):
    permissions = {"post": "tokens:write"}

    @idempotent
    @blp.doc(
        responses={
            200: openapi.response_object("How many tokens were revoked.", RevokedTokensSchema, {}),
            **openapi.with_common_error_responses(404, 406, 409, 413, 415),
        },
        **problem_codes.as_operation_member(
            *problem_codes.NO_BODY_CODES, *problem_codes.QUERY_CODES
        ),
    )
    def post(self, user_id: UUID) -> Response:
        """Revoke all tokens of a user

        The token of this request is revoked too if it is one of them, and so are the tokens that
        were made with them, also those of other users. Other nodes of the service reject them
        within a second. The tokens of another user need the permission `tokens:write:any`.
        """
        user = lock_row(_token_owner_query(user_id, "tokens:write"))
        load_body_as_args(None)
        return JsonResponse(json.dumps({"revoked": token_service.revoke_all_tokens(user)}))


@blp.route("/me")
class Me(Resource):
    permissions = {"get": "me:read"}
    operation_ids = {"get": "getMe"}

    @blp.doc(
        responses={
            200: openapi.response_object("The caller.", MeSchema, {}),
            **openapi.with_common_error_responses(406),
        },
        **problem_codes.as_operation_member(*problem_codes.QUERY_CODES),
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
