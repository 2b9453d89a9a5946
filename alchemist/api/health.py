"""Health checks: liveness of the process, and readiness of its database."""

from flask import Blueprint, Flask, Response, current_app, jsonify
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from alchemist import database as db
from alchemist import errors
from alchemist.database import session_limits

blp = Blueprint("health", __name__)
REVISION_AND_MODE = text(
    "SELECT version_num, current_setting('transaction_read_only') FROM alembic_version"
)


@blp.get("/livez")
def respond_alive() -> Response:
    """Return 200: the process answers."""
    return jsonify(status="ok")


@blp.get("/readyz")
def respond_if_migrated_and_writable() -> Response:
    """Return 200 if the database is at the revision of this code and writable, else 503."""
    revision, read_only = _database_state()
    if revision != db.latest_revision():
        raise errors.ServiceUnavailable("The database is not at the migration of this code.", 5)
    if read_only == "on":
        # It is a standby, in recovery, or configured so.
        raise errors.ServiceUnavailable("The database is read-only.", 5)
    _require_session_limits()
    return jsonify(status="ok", migration=revision)


def _require_session_limits() -> None:
    """Raise ServiceUnavailable unless the timeouts of a session hold: a pooler may drop them."""
    limits = current_app.extensions["session_limits"]
    rows = db.fetch_autocommit(session_limits.CURRENT_SETTINGS, {"names": list(limits)})
    if missing := list(session_limits.missing_limits(dict(map(tuple, rows)), limits)):
        detail = f"Limits of the database session do not hold (ALCHEMIST_LIMITS). {missing[0]}"
        raise errors.ServiceUnavailable(detail, 5)


def _database_state() -> tuple[str | None, str | None]:
    """Return the revision of the database and its `transaction_read_only`, or None for both."""
    try:
        rows = db.fetch_autocommit(REVISION_AND_MODE)
    except ProgrammingError:
        # No migration has run: the table does not exist.
        return None, None
    except OperationalError as error:
        if isinstance(error.orig, db.UnsupportedEncoding):
            raise errors.ServiceUnavailable(str(error.orig), 5) from error
        raise
    return (rows[0][0], rows[0][1]) if rows else (None, None)


def init_app(app: Flask, limits: dict[str, str]) -> None:
    """Register `/livez` and `/readyz`, which checks the `limits` of a database session."""
    app.extensions["session_limits"] = limits
    app.register_blueprint(blp)
