"""Users over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import Blueprint, Resource, stored_responses
from alchemist.api.batch_resource import add_batch
from alchemist.api.idempotency import idempotent
from alchemist.api.request import request
from alchemist.database import Query

from . import auth, service
from .models import User
from .schemas import EXAMPLE_PK, UserListQuery, UserSchema

blp = Blueprint("users", __name__, url_prefix="/api/v2", description="Users and their tokens.")
USER_SCHEMA = UserSchema()


def readable_query(pk: UUID) -> Query:
    return service.by_pk(pk, only_user_id=request.caller.owner_filter("users:read"))


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
    @blp.create(UserSchema, service.by_pk, body=UserSchema, problems=["already-exists"])
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

    @blp.update(UserSchema, readable_query, problems=["already-exists", "last-admin"])
    def patch(self, user: User, changes: dict[str, Any]) -> None:
        """Change a user

        The role must not have permissions that the caller lacks. The last admin stays an admin.
        """
        former_email = user.email
        service.update(user, request.caller.permissions, changes)
        # A batch updates by a statement, which the listeners of the session do not see.
        auth.invalidate_token_caches_after_transaction()
        if user.email != former_email:
            stored_responses.delete_responses_mentioning(former_email)

    @blp.destroy(UserSchema, readable_query, problems=["in-use", "last-admin"])
    def delete(self, user: User) -> None:
        """Delete a user

        The user's tokens are deleted, and so are the tokens that were made with these. A user who
        owns rows, such as heroes or orders, cannot be deleted: 409 names the rows. Anonymise the
        user instead. The last admin cannot be deleted.
        """
        identifiers = (user.pk, user.email)
        service.delete(user)
        stored_responses.delete_responses_mentioning(*identifiers)


add_batch(blp, "/users/batch", UserList, UserItem)


@blp.route("/users/<uuid:pk>/anonymise")
class AnonymiseUser(Resource):
    permissions = {"post": "users:write"}

    @idempotent
    @blp.action(
        UserSchema,
        readable_query,
        problems=["already-exists", "last-admin"],
        example={
            "email": f"{EXAMPLE_PK.replace('-', '')}{service.ANONYMOUS_DOMAIN}",
            "full_name": "Anonymous",
        },
    )
    def post(self, user: User) -> None:
        """Anonymise a user

        E-mail, name and the labels of tokens are replaced. The phone numbers and e-mails of the
        user's stores are removed, and stored responses that mention the user are deleted. All
        tokens are revoked, and those made with them. Heroes, stores and orders still belong to the
        user, who gets no new token. The last admin cannot be anonymised.
        """
        identifiers = (user.pk, user.email)
        service.anonymise(user)
        # Last: another request may store its response while this one waits for locks.
        stored_responses.delete_responses_mentioning(*identifiers)


@blp.route("/users/<uuid:pk>/suspend")
class SuspendUser(Resource):
    permissions = {"post": "users:write"}

    @idempotent
    @blp.action(
        UserSchema,
        readable_query,
        problems=["last-admin"],
        example={"suspended_at": "2026-11-20T07:15:00.123456+00:00"},
    )
    def post(self, user: User) -> None:
        """Suspend a user

        Every request with a token of the user is answered 403, until the user is reinstated. The
        tokens stay as they are, and the user gets no new one. The last admin cannot be suspended.
        Other nodes of the service follow within a second.
        """
        service.suspend(user)


@blp.route("/users/<uuid:pk>/reinstate")
class ReinstateUser(Resource):
    permissions = {"post": "users:write"}

    @idempotent
    @blp.action(UserSchema, readable_query)
    def post(self, user: User) -> None:
        """Reinstate a suspended user

        The user's tokens are accepted again, unless they have expired or were revoked.
        """
        service.reinstate(user)
