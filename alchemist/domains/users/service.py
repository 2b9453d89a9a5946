"""Queries of users and their tokens, and the operations that change them."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db
from alchemist import errors
from alchemist.database import matches_words

from . import token_format
from .models import SEARCH_VECTOR, Token, User
from .permissions import ROLE_PERMISSIONS

DEFAULT_TOKEN_TTL = timedelta(days=90)
# The domain `invalid` is reserved: no mail server will ever have it (RFC 2606 §2).
ANONYMOUS_DOMAIN = "@anonymous.invalid"
ANONYMOUS_EMAIL = re.compile(rf"[0-9a-f]{{32}}{re.escape(ANONYMOUS_DOMAIN)}")


@db.cached_query
def by_pk(pk: UUID, *, only_user_id: UUID | None = None) -> Select[Any]:
    query = select(User).where(User.pk == pk)
    return query if only_user_id is None else query.where(User.pk == only_user_id)


@db.cached_query
def list_query(
    *,
    only_user_id: UUID | None = None,
    email: str | None = None,
    q: str | None = None,
    role: str | None = None,
) -> Select[Any]:
    query = select(User)
    if only_user_id is not None:
        query = query.where(User.pk == only_user_id)
    if email is not None:
        query = query.where(User.email == email)
    if q is not None:
        query = query.where(matches_words(SEARCH_VECTOR, q))
    if role is not None:
        query = query.where(User.role == role)
    return query


def create(granted: Iterable[str], **values: Any) -> User:
    """Return a new user; raise Forbidden if its role has a permission that is not `granted`."""
    _check_may_grant_role(granted, values.get("role", "customer"))
    return User(**values)


def update(user: User, granted: Iterable[str], changes: Mapping[str, Any]) -> None:
    """Update a user; raise Forbidden if a new role has a permission that is not `granted`."""
    if changes.get("role", user.role) != user.role:
        _check_may_grant_role(granted, changes["role"])
    db.update(user, changes)


def delete(user: User) -> None:
    """Delete a user and their tokens, each with an entry in the audit log."""
    for token in _lock_tokens(user):
        db.session.delete(token)
    db.delete(user)


def anonymise(user: User) -> User:
    """Replace the e-mail and the name, and revoke all tokens; rows of the user stay theirs."""
    db.update(user, {"email": f"{user.pk.hex}{ANONYMOUS_DOMAIN}", "full_name": "Anonymous"})
    for token in _lock_tokens(user):
        revoke(token)
    return user


def _lock_tokens(user: User) -> list[Token]:
    """Lock all tokens of a user and read them again: one may have been revoked meanwhile."""
    query = select(Token).where(Token.user_id == user.pk).order_by(Token.pk).with_for_update()
    return list(db.session.scalars(query, execution_options={"populate_existing": True}))


def _check_may_grant_role(granted: Iterable[str], role: str) -> None:
    _check_may_grant(granted, ROLE_PERMISSIONS[role])


def _check_may_grant(granted: Iterable[str], requested: Iterable[str]) -> None:
    """Raise Forbidden unless all requested permissions are granted to the caller."""
    if missing := sorted(set(requested) - set(granted)):
        raise errors.Forbidden.missing_permission(missing[0])


@db.cached_query
def token_by_pk(pk: UUID, owner_id: UUID, *, only_user_id: UUID | None = None) -> Select[Any]:
    query = select(Token).where(Token.pk == pk, Token.user_id == owner_id)
    return query if only_user_id is None else query.where(Token.user_id == only_user_id)


@db.cached_query
def list_tokens_query(owner_id: UUID) -> Select[Any]:
    return select(Token).where(Token.user_id == owner_id)


def issue(
    user: User, granted: frozenset[str], *, is_scoped: bool = False, **values: Any
) -> tuple[Token, str]:
    """Insert a token; return it and its secret, which is not stored.

    `values` are the label and optionally `permissions` and `expires_at`. Raises Forbidden if the
    token would have a permission that is not `granted`, or that the user's role lacks. If the
    caller's token is scoped, so is the new one: it gains nothing when the user gets another role.
    """
    scope = values.pop("permissions", None)
    requested = ROLE_PERMISSIONS[user.role] if scope is None else frozenset(scope)
    _check_may_grant(ROLE_PERMISSIONS[user.role], requested)
    _check_may_grant(granted, requested)
    secret = token_format.generate()
    token = Token(
        user_id=user.pk,
        label=values["label"],
        digest=token_format.digest(secret),
        permissions=sorted(requested) if is_scoped or scope is not None else None,
        expires_at=values.get("expires_at") or datetime.now(UTC) + DEFAULT_TOKEN_TTL,
    )
    return db.insert(token), secret


def revoke(token: Token) -> None:
    """Revoke a token as of now, unless it was revoked before."""
    if token.revoked_at is None:
        db.update(token, {"revoked_at": datetime.now(UTC)})
