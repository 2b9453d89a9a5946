"""Whether the process lives, and whether it can serve."""

from functools import cache

from flask import Blueprint, Flask, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from alchemist import db, errors

blp = Blueprint("health", __name__)
MIGRATION = text("SELECT version_num FROM alembic_version")


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
    """Answer 200 if the database can be reached and is at the migration of this code."""
    if (found := _migration()) != head():
        raise errors.Unavailable("The database is not at the migration of this code.", 5)
    return jsonify(status="ok", migration=found)


def _migration() -> str | None:
    try:
        row = db.fetch(MIGRATION)
    except ProgrammingError:
        # The table is made by the first migration.
        return None
    return row[0] if row else None


def init_app(app: Flask) -> None:
    app.register_blueprint(blp)
