"""What can be done with users and their tokens."""

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
# A domain that never is (RFC 2606 §2).
ANONYMOUS_DOMAIN = "@anonymous.invalid"
ANONYMOUS_EMAIL = re.compile(rf"[0-9a-f]{{32}}{re.escape(ANONYMOUS_DOMAIN)}")


@db.cached_query
def by_pk(pk: UUID, *, user_id: UUID | None = None) -> Select[Any]:
    found = select(User).where(User.pk == pk)
    return found if user_id is None else found.where(User.pk == user_id)


@db.cached_query
def list_query(
    *,
    user_id: UUID | None = None,
    email: str | None = None,
    q: str | None = None,
    role: str | None = None,
) -> Select[Any]:
    found = select(User)
    if user_id is not None:
        found = found.where(User.pk == user_id)
    if email is not None:
        found = found.where(User.email == email)
    if q is not None:
        found = found.where(matches_words(SEARCH_VECTOR, q))
    if role is not None:
        found = found.where(User.role == role)
    return found


def create(held: Iterable[str], **values: Any) -> User:
    """Return a new user; raise Forbidden if the role gives more than what is `held`."""
    _check_may_grant_role(held, values.get("role", "customer"))
    return User(**values)


def update(user: User, held: Iterable[str], changes: Mapping[str, Any]) -> None:
    if changes.get("role", user.role) != user.role:
        _check_may_grant_role(held, changes["role"])
    db.update(user, changes)


def delete(user: User) -> None:
    for token in _lock_tokens(user):
        db.session.delete(token)
    db.delete(user)


def anonymise(user: User) -> User:
    """Forget who it was: the e-mail, the name and the tokens go, the rows of the user stay."""
    db.update(user, {"email": f"{user.pk.hex}{ANONYMOUS_DOMAIN}", "full_name": "Anonymous"})
    for token in _lock_tokens(user):
        revoke(token)
    return user


def _lock_tokens(user: User) -> list[Token]:
    """Return the tokens of a user, held: one that is revoked at the same time is no obstacle."""
    found = select(Token).where(Token.user_id == user.pk).order_by(Token.pk).with_for_update()
    return list(db.session.scalars(found, execution_options={"populate_existing": True}))


def _check_may_grant_role(held: Iterable[str], role: str) -> None:
    _check_may_grant(held, ROLE_PERMISSIONS[role])


def _check_may_grant(held: Iterable[str], wanted: Iterable[str]) -> None:
    """Let nobody hand out what they do not hold themselves."""
    if missing := sorted(set(wanted) - set(held)):
        raise errors.Forbidden.missing_permission(missing[0])


@db.cached_query
def token_by_pk(pk: UUID, of: UUID, *, user_id: UUID | None = None) -> Select[Any]:
    found = select(Token).where(Token.pk == pk, Token.user_id == of)
    return found if user_id is None else found.where(Token.user_id == user_id)


@db.cached_query
def list_tokens_query(of: UUID, *, user_id: UUID | None = None) -> Select[Any]:
    found = select(Token).where(Token.user_id == of)
    return found if user_id is None else found.where(Token.user_id == user_id)


def issue(
    user: User, held: frozenset[str], *, is_narrowed: bool = False, **values: Any
) -> tuple[Token, str]:
    """Add a token, and return it with its secret, which is never to be had again.

    `values` are its label and, if given, its permissions and when it expires. Raises Forbidden if
    it would permit more than what is `held`, or than the role of its user. What a narrowed token
    makes is as narrow, and does not grow with the role.
    """
    asked = values.pop("permissions", None)
    wanted = ROLE_PERMISSIONS[user.role] if asked is None else frozenset(asked)
    _check_may_grant(ROLE_PERMISSIONS[user.role], wanted)
    _check_may_grant(held, wanted)
    secret = token_format.generate()
    token = Token(
        user_id=user.pk,
        label=values["label"],
        digest=token_format.digest(secret),
        permissions=sorted(wanted) if is_narrowed or asked is not None else None,
        expires_at=values.get("expires_at") or datetime.now(UTC) + DEFAULT_TOKEN_TTL,
    )
    return db.insert(token), secret


def revoke(token: Token) -> None:
    """Make the token worthless from the next request on; it stays listed."""
    if token.revoked_at is None:
        db.update(token, {"revoked_at": datetime.now(UTC)})
