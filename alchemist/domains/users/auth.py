"""Authenticates the caller of a request by its bearer token, and checks their permissions."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from mmap import mmap
from os import urandom
from time import monotonic
from uuid import UUID

from flask import Flask
from sqlalchemy import and_, bindparam, event, func, select
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from alchemist import config, errors
from alchemist import database as db
from alchemist.api import rate_limits, references
from alchemist.api.rate_limits import FAILED_AUTHENTICATIONS, current_limiter
from alchemist.api.request import app_extensions, current_request, request

from . import last_use, open_access, permissions, token_format
from .models import Token, User

# Seconds for which a valid token is accepted without another look-up in the database.
TOKEN_CACHE_TTL = 1.0
TOKEN_CACHE_SIZE = 4096
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="alchemist"'}


@dataclass(frozen=True)
class Caller:
    """The sender of a request. Without a user they are anonymous, or have open access."""

    permissions: frozenset[str] = frozenset()
    user_id: UUID | None = None
    token_id: UUID | None = None
    token_expires_at: datetime | None = None
    # Whether the token is limited to a list of permissions.
    is_scoped: bool = False

    def __str__(self) -> str:
        return str(self.user_id or "everybody")

    def require(self, permission: str | None) -> None:
        """Raise Unauthorized or Forbidden if the caller lacks the permission; None is public."""
        if permission is None:
            return
        if permission in self.permissions:
            current_request().used_permissions.add(permission)
            return
        if self is ANONYMOUS:
            raise errors.Unauthorized("Send a valid bearer token.", headers=CHALLENGE)
        raise errors.Forbidden.missing_permission(permission)

    def owner_filter(self, permission: str) -> UUID | None:
        """Return the user id to filter rows by, or None if the caller has `<permission>:any`."""
        if f"{permission}:any" in self.permissions:
            request.used_permissions.add(f"{permission}:any")
            return None
        if self.user_id is None:
            raise errors.Unauthorized("Send a valid bearer token.", headers=CHALLENGE)
        return self.user_id

    def check_owner(self, permission: str, owner_id: UUID | None, pointer: str) -> None:
        """Raise Forbidden if the permission does not extend to rows of this owner.

        `pointer` is where the body names the owner.
        """
        allowed_owner_id = self.owner_filter(permission)
        if allowed_owner_id and owner_id != allowed_owner_id:
            raise errors.Forbidden.missing_permission(f"{permission}:any", [pointer])


errors.register_problem_type(
    "user-suspended",
    403,
    "The user of the token is suspended: all of their requests are rejected until an admin "
    "reinstates them. The token is valid and need not be replaced.",
    "The user of this token is suspended.",
)

ANONYMOUS = Caller()
OPEN_ACCESS_CALLER = Caller(permissions.ADMIN)

_TOKENS = select(
    Token.last_used_at,
    User.suspended_at,
    Token.expires_at,
    Token.pk,
    Token.user_id,
    Token.permissions,
    User.role,
).join(User, User.pk == Token.user_id)
_IS_LIVE = and_(Token.revoked_at.is_(None), Token.expires_at > func.clock_timestamp())
_BY_DIGEST = _TOKENS.add_columns(_IS_LIVE).where(Token.digest == bindparam("digest"))
_BY_PK_LOCKED = _TOKENS.where(Token.pk == bindparam("pk"), _IS_LIVE).with_for_update(read=True)
# Shared-memory generation of the token caches. Every update of a user or a token changes it, which
# invalidates the caches of all workers that were forked after this module was imported. Processes
# on other machines notice the update after TOKEN_CACHE_TTL at the latest.
_cache_generation = mmap(-1, 8)
# By digest: the caller, when the entry expires (by `monotonic`), and the generation of the entry.
_token_cache: dict[str, tuple[Caller, float, bytes]] = {}


def authenticate() -> Caller:
    """Return the caller of this request; raise Unauthorized, RateLimited, or Forbidden.

    With open access a caller without a token has all permissions; a token that is sent counts.
    """
    if not app_extensions()["open_access"]:
        return _authenticate_by_token()
    open_access.require_local_request()
    has_token = "Authorization" in current_request().headers
    return _authenticate_by_token() if has_token else OPEN_ACCESS_CALLER


def _authenticate_by_token() -> Caller:
    current = current_request()
    header = current.headers.get("Authorization")
    if header is None:
        return ANONYMOUS
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        digest = token_format.digest(token.strip())
        if caller := _cached_caller(digest):
            current.is_caller_cached = True
            return caller
        if token_format.is_well_formed(token.strip()):
            current_limiter().count_or_raise(
                FAILED_AUTHENTICATIONS, rate_limits.client_address_or_network(), 0
            )
            if caller := _authenticate_by_digest(digest):
                current.is_caller_cached = False
                return caller
    current_limiter().count_or_raise(
        FAILED_AUTHENTICATIONS, rate_limits.client_address_or_network()
    )
    challenge = {"WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
    raise errors.Unauthorized("Send a valid bearer token.", headers=challenge)


def _cached_caller(digest: str) -> Caller | None:
    caller, expiry, generation = _token_cache.get(digest, (None, 0.0, b""))
    return caller if monotonic() < expiry and generation == _cache_generation[:8] else None


def _authenticate_by_digest(digest: str) -> Caller | None:
    # Read before the query: an update that commits in between must invalidate the new entry.
    generation = _cache_generation[:8]
    rows = db.fetch_autocommit(_BY_DIGEST, {"digest": digest})
    if not rows:
        return None
    last_used_at, suspended_at, expires_at, *token, is_live = rows[0]
    caller = _make_caller(expires_at, *token)
    # For the log, if the request is rejected.
    request.caller = caller
    if not is_live:
        return None
    _check_not_suspended(suspended_at)
    now = datetime.now(UTC)
    if len(_token_cache) >= TOKEN_CACHE_SIZE:
        _token_cache.clear()
    ttl = min(TOKEN_CACHE_TTL, (expires_at - now).total_seconds())
    _token_cache[digest] = (caller, monotonic() + ttl, generation)
    if last_used_at is None or now - last_used_at > last_use.INTERVAL:
        last_use.recorder.record(token[0])
    return caller


def _check_not_suspended(suspended_at: datetime | None) -> None:
    """Raise Forbidden: the token is valid, and will be accepted again after a reinstatement."""
    if suspended_at is not None:
        raise errors.Forbidden("The user of this token is suspended.", code="user-suspended")


def _make_caller(
    expires_at: datetime, token_pk: UUID, user_id: UUID, scope: list[str] | None, role: str
) -> Caller:
    granted = permissions.ROLE_PERMISSIONS[role]
    granted = granted - permissions.ON_REQUEST if scope is None else granted.intersection(scope)
    return Caller(granted, user_id, token_pk, expires_at, is_scoped=scope is not None)


def reload_caller_and_lock_token(permission: str) -> Caller:
    """Load the caller again and lock their token until the transaction ends; return the caller.

    Call this after a wait for a lock: the token may have been revoked in the meantime. Raises
    Unauthorized or Forbidden.
    """
    caller: Caller = request.caller
    if caller.token_id is not None:
        row = db.session.execute(_BY_PK_LOCKED, {"pk": caller.token_id}).one_or_none()
        if row is None:
            raise errors.Unauthorized("Send a valid bearer token.", headers=CHALLENGE)
        _last_used_at, suspended_at, *token = row
        _check_not_suspended(suspended_at)
        caller = _make_caller(*token)
        caller.require(permission)
    return caller


def invalidate_token_caches_after_transaction() -> None:
    """Let the caches of tokens forget what they have when the transaction of the session ends."""
    db.session.info["tokens_changed"] = True


def _flag_flushed_token_change(session: Session, _context: object) -> None:
    """Flag the session if a flush updates or deletes users or tokens."""
    if any(isinstance(row, User | Token) for row in (*session.dirty, *session.deleted)):
        session.info["tokens_changed"] = True


def _flag_token_statement(state: ORMExecuteState) -> None:
    """Flag the session if a statement updates or deletes users or tokens."""
    is_change = state.is_update or state.is_delete
    if is_change and state.bind_mapper and issubclass(state.bind_mapper.class_, User | Token):
        state.session.info["tokens_changed"] = True


def _invalidate_caches_if_flagged(session: Session, transaction: SessionTransaction) -> None:
    """Invalidate the token caches of all workers when a flagged transaction ends."""
    if transaction.parent is None and session.info.pop("tokens_changed", False):
        _cache_generation[:8] = urandom(8)


def latest_token_expiry() -> datetime:
    """Return when a token that this request makes must end: with the caller's at the latest."""
    latest: datetime = datetime.now(UTC) + app_extensions()["max_token_ttl"]
    return min(latest, request.caller.token_expires_at or latest)


def init_app(app: Flask, settings: config.Settings) -> None:
    app.extensions["open_access"] = settings.open_access
    app.extensions["cors_origins"] = settings.cors_origins
    app.extensions["max_token_ttl"] = timedelta(days=settings.max_token_days)
    app.extensions["authenticate"] = authenticate
    references.restrict_lookup(User, _is_visible_user)


def _is_visible_user(pk: UUID | str) -> bool:
    """Return whether the caller may learn that a user with this pk exists."""
    return "users:read:any" in request.caller.permissions or pk == request.caller.user_id


event.listen(db.session.session_factory, "after_flush", _flag_flushed_token_change)
event.listen(db.session.session_factory, "do_orm_execute", _flag_token_statement)
event.listen(db.session.session_factory, "after_transaction_end", _invalidate_caches_if_flagged)
