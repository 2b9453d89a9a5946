"""Queries of users, and the operations that change them."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from alchemist import database as db
from alchemist import errors

from . import token_updates
from .models import Token, User
from .permissions import ROLE_PERMISSIONS, check_may_grant

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
    token_updates.revoke_with_descendants(Token.user_id == user.pk)
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
    token_updates.revoke_with_descendants(Token.user_id == user.pk)
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
    check_may_grant(granted, ROLE_PERMISSIONS[role])
