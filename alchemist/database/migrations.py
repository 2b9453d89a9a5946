"""Alembic's configuration, the latest migration, and the tables that the code works on."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, text

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

PROJECT_ROOT = Path(__file__).parent.parent.parent
# The migration that added the column of compatible revisions.
FIRST_REVISION = "0020"
# The revision of the database, and whether code of `:revision` works on it.
# The row as JSON, because before that migration there is no such column.
DATABASE_STATE = text("""
    SELECT version_num,
        coalesce(to_jsonb(alembic_version) -> 'compatible_revisions' ? :revision, false)
    FROM alembic_version
""")


def alembic_config(url: URL) -> "Config":
    """Return the configuration for alembic's commands on the database at `url`."""
    from alembic.config import Config  # noqa: PLC0415  slow, and the service does not migrate

    return Config(PROJECT_ROOT / "alembic.ini", attributes={"url": url})


@cache
def latest_revision() -> str | None:
    """Return the latest revision of this code, or None without migrations."""
    return _script_directory().get_current_head()


def compatible_revisions(head: str) -> list[str]:
    """Return the revisions whose code works on the tables at `head`, itself included.

    A migration with `is_backward_compatible = True` lets the code before it work: it only adds what
    that code neither needs nor is disturbed by. Return nothing before they are stored.
    """
    scripts = list(_script_directory().iterate_revisions(head, "base"))
    if FIRST_REVISION not in [script.revision for script in scripts]:
        return []
    revisions = []
    for script in scripts:
        revisions.append(script.revision)
        if not getattr(script.module, "is_backward_compatible", False):
            break
    return revisions


def _script_directory() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory  # noqa: PLC0415  slow, and requests do not need it

    return ScriptDirectory(str(PROJECT_ROOT / "migrations"))
