"""Whether the process lives, and whether it can serve."""

from flask import Blueprint, Flask, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from alchemist import database as db
from alchemist import errors

blp = Blueprint("health", __name__)
REVISION_AND_MODE = text(
    "SELECT version_num, current_setting('transaction_read_only') FROM alembic_version"
)


@blp.get("/livez")
def live() -> Response:
    return jsonify(status="ok")


@blp.get("/readyz")
def ready() -> Response:
    """Answer 200 if the database is at the migration of this code, and takes writes."""
    migration, read_only = _database_state()
    if migration != db.latest_revision():
        raise errors.ServiceUnavailable("The database is not at the migration of this code.", 5)
    if read_only == "on":
        # It was told so, or is a standby, or recovers.
        raise errors.ServiceUnavailable("The database is read-only.", 5)
    return jsonify(status="ok", migration=migration)


def _database_state() -> tuple[str | None, str | None]:
    try:
        row = db.fetch_one(REVISION_AND_MODE)
    except ProgrammingError:
        # The table is made by the first migration.
        return None, None
    return (row[0], row[1]) if row else (None, None)


def init_app(app: Flask) -> None:
    app.register_blueprint(blp)
