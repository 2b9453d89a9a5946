"""Health checks: liveness of the process, and readiness of its database."""

from flask import Blueprint, Flask, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from alchemist import database as db
from alchemist import errors

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
    return jsonify(status="ok", migration=revision)


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


def init_app(app: Flask) -> None:
    """Register `/livez` and `/readyz`."""
    app.register_blueprint(blp)
