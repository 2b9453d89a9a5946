"""Health checks: liveness of the process, and readiness of its database."""

from flask import Blueprint, Flask, Response, current_app, jsonify
from sqlalchemy import delete, false
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError

from alchemist import database as db
from alchemist import errors
from alchemist.database import session_limits

from .stored_responses import IdempotencyKey

blp = Blueprint("health", __name__)

# It fails as every write does. Then the connection is replaced, and the next may find another
# server: without requests, only this check would notice that writes are possible again.
WRITE_NOTHING = delete(IdempotencyKey).where(false()).returning(IdempotencyKey.key)


@blp.get("/livez")
def respond_alive() -> Response:
    """Return 200: the process answers."""
    return jsonify(status="ok")


@blp.get("/readyz")
def respond_if_migrated_and_writable() -> Response:
    """Return 200 if this code works on the tables, and the database is writable, else 503."""
    revision, is_compatible = _revision_and_compatibility()
    if not is_compatible:
        raise errors.ServiceUnavailable("The database is not at the migration of this code.", 5)
    _require_writable()
    _require_session_limits()
    return jsonify(status="ok", migration=revision)


def _require_writable() -> None:
    """Raise ServiceUnavailable if the database is a standby, in recovery, or set to read-only."""
    try:
        db.fetch_autocommit(WRITE_NOTHING)
    except InternalError as error:
        raise errors.ServiceUnavailable("The database is read-only.", 5) from error


def _require_session_limits() -> None:
    """Raise ServiceUnavailable unless the timeouts of a session hold: a pooler may drop them."""
    limits = current_app.extensions["session_limits"]
    rows = db.fetch_autocommit(session_limits.CURRENT_SETTINGS, {"names": list(limits)})
    if missing := list(session_limits.describe_missing_limits(dict(map(tuple, rows)), limits)):
        detail = f"Limits of the database session do not hold (ALCHEMIST_LIMITS). {missing[0]}"
        raise errors.ServiceUnavailable(detail, 5)


def _revision_and_compatibility() -> tuple[str | None, bool]:
    """Return the revision of the database, and whether this code works on it."""
    try:
        rows = db.fetch_autocommit(db.DATABASE_STATE, {"revision": db.latest_revision()})
    except ProgrammingError:
        # No migration has run: the table does not exist.
        rows = []
    except OperationalError as error:
        if isinstance(error.orig, db.UnsupportedEncoding):
            raise errors.ServiceUnavailable(str(error.orig), 5) from error
        raise
    return tuple(rows[0]) if rows else (None, False)


def init_app(app: Flask, limits: dict[str, str]) -> None:
    """Register `/livez` and `/readyz`, which checks the `limits` of a database session."""
    app.extensions["session_limits"] = limits
    app.register_blueprint(blp)
