"""Whether the process lives, and whether it can serve."""

from functools import cache

from flask import Blueprint, Flask, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from alchemist import db, errors

blp = Blueprint("health", __name__)
STATE = text("SELECT version_num, current_setting('transaction_read_only') FROM alembic_version")


@cache
def head() -> str | None:
    """Return the newest migration that this code knows."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415  slow, and only /readyz needs it

    return ScriptDirectory(str(db.ROOT / "migrations")).get_current_head()


@blp.get("/livez")
def live() -> Response:
    return jsonify(status="ok")


@blp.get("/readyz")
def ready() -> Response:
    """Answer 200 if the database is at the migration of this code, and takes writes."""
    migration, read_only = _state()
    if migration != head():
        raise errors.Unavailable("The database is not at the migration of this code.", 5)
    if read_only == "on":
        # It was told so, or is a standby, or recovers.
        raise errors.Unavailable("The database is read-only.", 5)
    return jsonify(status="ok", migration=migration)


def _state() -> tuple[str | None, str | None]:
    try:
        row = db.fetch(STATE)
    except ProgrammingError:
        # The table is made by the first migration.
        return None, None
    return (row[0], row[1]) if row else (None, None)


def init_app(app: Flask) -> None:
    app.register_blueprint(blp)
