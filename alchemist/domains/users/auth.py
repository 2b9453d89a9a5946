"""Who asks, and whether they may: a bearer token becomes a caller with permissions."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from mmap import mmap
from os import urandom
from time import monotonic
from uuid import UUID

from flask import Flask, current_app
from sqlalchemy import bindparam, event, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction

from alchemist import config, errors
from alchemist import database as db
from alchemist.api.request import request

from . import permissions, token_format
from .models import Token, User

# Seconds for which a token that was good is taken for good without asking the database.
TOKEN_CACHE_TTL = 1.0
TOKEN_CACHE_SIZE = 4096
LAST_USED_INTERVAL = timedelta(minutes=5)
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="alchemist"'}


@dataclass(frozen=True)
class Caller:
    """Who asks. Without a user it is anybody, or, with open access, everybody at once."""

    permissions: frozenset[str] = frozenset()
    user_id: UUID | None = None
    token_id: UUID | None = None
    is_narrowed: bool = False

    def __str__(self) -> str:
        return str(self.user_id or "everybody")

    def require(self, permission: str | None) -> None:
        if permission is None or permission in self.permissions:
            return
        if self is ANONYMOUS:
            raise errors.Unauthorized("Send a valid bearer token.", headers=CHALLENGE)
        raise errors.Forbidden.missing_permission(permission)

    def own(self, permission: str) -> UUID | None:
        """Return the user whose rows alone the permission is for, or None if it is for any."""
        if f"{permission}:any" in self.permissions:
            return None
        if self.user_id is None:
            raise errors.Unauthorized("Send a valid bearer token.", headers=CHALLENGE)
        return self.user_id

    def check_own(self, permission: str, owner: UUID | None) -> None:
        """Raise Forbidden if a row of `owner` would not be one that the permission is for."""
        own = self.own(permission)
        if own and owner != own:
            raise errors.Forbidden.missing_permission(f"{permission}:any")


ANONYMOUS = Caller()
OPEN_ACCESS_CALLER = Caller(permissions.ADMIN)

_VALID_TOKENS = (
    select(
        Token.expires_at,
        Token.last_used_at,
        Token.pk,
        Token.user_id,
        Token.permissions,
        User.role,
    )
    .join(User, User.pk == Token.user_id)
    .where(Token.revoked_at.is_(None), Token.expires_at > func.clock_timestamp())
)
_BY_DIGEST = _VALID_TOKENS.where(Token.digest == bindparam("digest"))
_BY_PK_LOCKED = _VALID_TOKENS.where(Token.pk == bindparam("pk")).with_for_update(read=True)
_LAST_USED_IS_STALE = or_(
    Token.last_used_at.is_(None), Token.last_used_at < func.clock_timestamp() - LAST_USED_INTERVAL
)
_UPDATE_LAST_USED = (
    update(Token)
    .where(
        Token.pk.in_(
            select(Token.pk)
            .where(Token.pk == bindparam("token_id"), _LAST_USED_IS_STALE)
            .with_for_update(skip_locked=True)
        )
    )
    # To be used is no change of a token.
    .values(last_used_at=func.clock_timestamp(), updated_at=Token.updated_at)
)

# Changes whenever a token may have become worthless. It is shared by all processes that are forked
# after this module was imported, so that a revocation counts at once in every worker; processes of
# another origin, on another machine perhaps, come to know of it within TRUST.
_cache_generation = mmap(-1, 8)
_token_cache: dict[str, tuple[Caller, float, bytes]] = {}


def authorize(permission: str | None) -> Caller:
    """Return the caller of this request; raise Unauthorized or Forbidden."""
    caller = _open_access_caller() if current_app.extensions["open_access"] else _token_caller()
    caller.require(permission)
    return caller


def _open_access_caller() -> Caller:
    """Let everybody do everything, as long as they are here.

    Neither a name that was made to point here (DNS rebinding), nor a page of another site in the
    browser of somebody who is (request forgery), nor a proxy that lets the world in.
    """
    # Behind a unix socket there is no peer.
    is_here = not request.remote_addr or config.is_loopback(request.remote_addr)
    hosts = (request.host, request.authority)
    is_meant = all(config.is_loopback(config.hostname(host)) for host in hosts)
    if not (is_here and is_meant) or _is_cross_site() or _is_forwarded():
        detail = "Open access is for this machine alone."
        raise errors.Forbidden(detail, code="not-local")
    return OPEN_ACCESS_CALLER


def _is_cross_site() -> bool:
    """Tell whether a browser says that a page of another site sends this."""
    if request.method in ("GET", "HEAD"):
        return False
    origin = request.headers.get("Origin")
    is_elsewhere = origin is not None and not config.is_loopback(
        config.hostname(origin.partition("://")[2])
    )
    return is_elsewhere or request.headers.get("Sec-Fetch-Site") == "cross-site"


def _is_forwarded() -> bool:
    return "X-Forwarded-For" in request.headers or "Forwarded" in request.headers


def _token_caller() -> Caller:
    header = request.headers.get("Authorization")
    if header is None:
        return ANONYMOUS
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token_format.is_well_formed(token.strip()):
        digest = token_format.digest(token.strip())
        if caller := _cached_caller(digest) or _load_caller(digest):
            return caller
    challenge = {"WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
    raise errors.Unauthorized("Send a valid bearer token.", headers=challenge)


def _cached_caller(digest: str) -> Caller | None:
    caller, until, changes = _token_cache.get(digest, (None, 0.0, b""))
    return caller if monotonic() < until and changes == _cache_generation[:8] else None


def _load_caller(digest: str) -> Caller | None:
    changes = _cache_generation[:8]
    row = db.fetch_one(_BY_DIGEST, {"digest": digest})
    if row is None:
        return None
    expires_at, last_used_at, *token = row
    caller = _caller_from_row(*token)
    now = datetime.now(UTC)
    if len(_token_cache) >= TOKEN_CACHE_SIZE:
        _token_cache.clear()
    trust = min(TOKEN_CACHE_TTL, (expires_at - now).total_seconds())
    _token_cache[digest] = (caller, monotonic() + trust, changes)
    if last_used_at is None or now - last_used_at > LAST_USED_INTERVAL:
        _update_last_used(caller.token_id)
    return caller


def _caller_from_row(pk: UUID, user_id: UUID, narrowed: list[str] | None, role: str) -> Caller:
    given = permissions.ROLE_PERMISSIONS[role]
    held = given if narrowed is None else given.intersection(narrowed)
    return Caller(held, user_id, pk, narrowed is not None)


def revalidate_token(permission: str) -> Caller:
    """Return the caller as of now, whose token nobody ends before this transaction does.

    For what outlives the token that it was asked with: whoever waited for a lock may have lost
    their token meanwhile.
    """
    caller: Caller = request.caller
    if caller.token_id is not None:
        row = db.session.execute(_BY_PK_LOCKED, {"pk": caller.token_id}).one_or_none()
        if row is None:
            raise errors.Unauthorized("Send a valid bearer token.", headers=CHALLENGE)
        _expires_at, _last_used_at, *token = row
        caller = _caller_from_row(*token)
        caller.require(permission)
    return caller


def _update_last_used(token_id: UUID | None) -> None:
    """Note that the token is in use; whoever is in the way, or a failure, is let be."""
    with suppress(SQLAlchemyError), db.begin_separate() as connection:
        connection.execute(_UPDATE_LAST_USED, {"token_id": token_id})


def _flag_token_change(session: Session, _context: object) -> None:
    """See whether a flush changes users or tokens, so that trust in them ends with its commit."""
    if any(isinstance(row, User | Token) for row in (*session.dirty, *session.deleted)):
        session.info["distrust"] = True


def _invalidate_cache(session: Session, transaction: SessionTransaction) -> None:
    """Forget, in every worker, which tokens were good."""
    if transaction.parent is None and session.info.pop("distrust", False):
        _cache_generation[:8] = urandom(8)


def init_app(app: Flask, *, open_access: bool) -> None:
    app.extensions["open_access"] = open_access
    app.extensions["authorize"] = authorize


event.listen(db.session.session_factory, "after_flush", _flag_token_change)
event.listen(db.session.session_factory, "after_transaction_end", _invalidate_cache)
