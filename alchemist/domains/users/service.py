"""Queries of users and their tokens, and the operations that change them."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from alchemist import database as db
from alchemist import errors

from . import token_format, token_updates
from .models import Token, User
from .permissions import ON_REQUEST, ROLE_PERMISSIONS

DEFAULT_TOKEN_TTL = timedelta(days=90)
MAX_LIVE_TOKENS = 100
# The domain `invalid` is reserved: no mail server will ever have it (RFC 2606 §2).
ANONYMOUS_DOMAIN = "@anonymous.invalid"
ANONYMOUS_EMAIL = re.compile(rf"[0-9a-f]{{32}}{re.escape(ANONYMOUS_DOMAIN)}")

# An arbitrary key, which no other user of advisory locks in the database may use.
LAST_ADMIN_LOCK = 0xAD317

errors.register_problem_type(
    "last-admin",
    409,
    "The user is the only admin who is neither suspended nor anonymised. Nobody could undo the "
    "change: make another user an admin first.",
    "This is the last admin.",
)
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
    return db.select_where(User, pk=only_user_id, email_folded=email, role=role, q=q)


def create(granted: Iterable[str], **values: Any) -> User:
    """Return a new user; raise Forbidden if its role has a permission that is not `granted`."""
    # Explicit, so that the audit log has it.
    values = {"role": "customer"} | values
    _check_may_grant_role(granted, values["role"])
    return User(**values)


def update(user: User, granted: Iterable[str], changes: Mapping[str, Any]) -> None:
    """Update a user; raise Forbidden if a new role has a permission that is not `granted`.

    Raises Conflict if the last admin would get another role, or an e-mail of anonymised users.
    """
    is_new_role = changes.get("role", user.role) != user.role
    if is_new_role:
        _check_may_grant_role(granted, changes["role"])
    if is_new_role or ANONYMOUS_EMAIL.fullmatch(changes.get("email", "")):
        _check_not_last_admin(user)
    db.update(user, changes)


def delete(user: User) -> None:
    """Delete a user and their tokens, each with an entry in the audit log.

    Tokens that were made with these are revoked, and deleted with them by the foreign key.
    """
    _check_not_last_admin(user)
    revoke_all_tokens(user)
    for pk in db.session.scalars(select(Token.pk).where(Token.user_id == user.pk)):
        db.queue_audit_entry("delete", Token, pk)
    db.delete(user)


def suspend(user: User, *, keep_last_admin: bool = True) -> None:
    """Reject every request of the user until `reinstate`; their tokens stay."""
    if user.suspended_at is None:
        if keep_last_admin:
            _check_not_last_admin(user)
        db.update(user, {"suspended_at": datetime.now(UTC)})


def reinstate(user: User) -> None:
    db.update(user, {"suspended_at": None})


def anonymise(user: User, *, keep_last_admin: bool = True) -> User:
    """Replace the e-mail and the name, and revoke all tokens; rows of the user stay theirs.

    Labels of tokens are replaced too, and so is what other domains store about the user: each of
    them has a function in `on_anonymise`.
    """
    if keep_last_admin:
        _check_not_last_admin(user)
    db.update(user, {"email": f"{user.pk.hex}{ANONYMOUS_DOMAIN}", "full_name": "Anonymous"})
    revoke_all_tokens(user)
    token_updates.anonymise_labels(user.pk)
    for clear in on_anonymise:
        clear(user.pk)
    return user


# Functions that clear the personal data of a user in the tables of later domains.
on_anonymise: list[Callable[[UUID], None]] = []


def is_anonymised(user: User) -> bool:
    return ANONYMOUS_EMAIL.fullmatch(user.email) is not None


def _check_not_last_admin(user: User) -> None:
    """Raise Conflict if the user is the only admin who is neither suspended nor anonymised.

    Of two requests that change the last two admins, the second one waits for the first one, and
    then counts what that has left.
    """
    if not _is_active_admin(user):
        return
    db.session.execute(select(func.pg_advisory_xact_lock(LAST_ADMIN_LOCK)))
    others = select(User.pk).where(
        User.role == "admin",
        User.suspended_at.is_(None),
        User.email.not_like(f"%{ANONYMOUS_DOMAIN}"),
        User.pk != user.pk,
        User.pk.not_in(_former_admins_of_batch()),
    )
    if db.session.execute(others.limit(1)).first() is None:
        raise errors.Conflict("This is the last admin.", code="last-admin")


def _former_admins_of_batch() -> list[UUID]:
    """Return the users of the session that are no active admins, or will be none.

    The changes of a batch are written together, after the checks.
    """
    users = [each for each in db.session if isinstance(each, User)]
    return [each.pk for each in users if not _is_active_admin(each)]


def _is_active_admin(user: User) -> bool:
    return user.role == "admin" and user.suspended_at is None and not is_anonymised(user)


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
    _check_may_grant(role_permissions, requested)
    _check_may_grant(granted, requested)
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
