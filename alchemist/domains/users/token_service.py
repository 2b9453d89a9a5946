"""Queries of tokens, and the operations that issue and revoke them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from alchemist import database as db
from alchemist import errors

from . import token_format, token_updates
from .models import Token, User
from .permissions import ON_REQUEST, ROLE_PERMISSIONS, check_may_grant
from .service import is_anonymised

DEFAULT_TOKEN_TTL = timedelta(days=90)


MAX_LIVE_TOKENS = 100


errors.register_problem_type(
    "token-limit-reached",
    409,
    f"The user has {MAX_LIVE_TOKENS} tokens that are neither revoked nor expired: revoke some.",
    f"The user has {MAX_LIVE_TOKENS} live tokens.",
)


errors.register_problem_type(
    "user-inactive",
    409,
    "The user is suspended or anonymised, and gets no new token.",
    "The user is suspended.",
)


@db.cached_query
def token_by_pk(pk: UUID, owner_id: UUID, *, only_user_id: UUID | None = None) -> Select[Any]:
    query = select(Token).where(Token.pk == pk, Token.user_id == owner_id)
    return query if only_user_id is None else query.where(Token.user_id == only_user_id)


@db.cached_query
def list_tokens_query(owner_id: UUID) -> Select[Any]:
    return select(Token).where(Token.user_id == owner_id)


def issue_token(
    user: User,
    granted: frozenset[str],
    *,
    is_scoped: bool = False,
    made_with_id: UUID | None = None,
    latest_expiry: datetime | None = None,
    **values: Any,
) -> tuple[Token, str]:
    """Insert a token of a locked user; return it and its secret, which is not stored.

    `values` are the label and optionally `permissions` and `expires_at`, which `latest_expiry`
    limits. Without `permissions` it gets those of the role except ON_REQUEST. If the caller's token
    is scoped, so is the new one: it gains nothing when the user gets another role. Raises Forbidden
    if the token would have a permission that is not `granted`, or that the user's role lacks, and
    Conflict if the user may have no further token.
    """
    scope = values.pop("permissions", None)
    role_permissions = ROLE_PERMISSIONS[user.role]
    requested = role_permissions - ON_REQUEST if scope is None else frozenset(scope)
    check_may_grant(role_permissions, requested)
    check_may_grant(granted, requested)
    _check_may_have_token(user)
    secret = token_format.generate()
    expires_at = values.get("expires_at") or datetime.now(UTC) + DEFAULT_TOKEN_TTL
    token = Token(
        user_id=user.pk,
        made_with_id=made_with_id,
        label=values["label"],
        digest=token_format.digest(secret),
        permissions=sorted(requested) if is_scoped or scope is not None else None,
        expires_at=min(expires_at, latest_expiry or expires_at),
    )
    return db.insert(token), secret


def _check_may_have_token(user: User) -> None:
    """Raise Conflict if the user is inactive or has too many tokens; the user must be locked."""
    if user.suspended_at is not None or is_anonymised(user):
        state = "anonymised" if is_anonymised(user) else "suspended"
        raise errors.Conflict(f"The user is {state}.", code="user-inactive")
    live = select(func.count()).where(
        Token.user_id == user.pk,
        Token.revoked_at.is_(None),
        Token.expires_at > func.clock_timestamp(),
    )
    if db.session.scalars(live).one() >= MAX_LIVE_TOKENS:
        detail = f"The user has {MAX_LIVE_TOKENS} live tokens."
        raise errors.Conflict(detail, code="token-limit-reached")


def revoke_token(token: Token) -> int:
    """Revoke a token and all that were made with it, unless it was revoked; return how many."""
    return token_updates.revoke_with_descendants(Token.pk == token.pk)


def revoke_all_tokens(user: User) -> int:
    """Revoke all tokens of a user, and those that were made with them; return how many."""
    return token_updates.revoke_with_descendants(Token.user_id == user.pk)
