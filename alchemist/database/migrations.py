"""Alembic's configuration, and the latest migration of this code."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

if TYPE_CHECKING:
    from alembic.config import Config

PROJECT_ROOT = Path(__file__).parent.parent.parent


def alembic_config(url: URL) -> "Config":
    """Return the configuration for alembic's commands on the database at `url`."""
    from alembic.config import Config  # noqa: PLC0415  slow, and the service does not migrate

    return Config(PROJECT_ROOT / "alembic.ini", attributes={"url": url})


@cache
def latest_revision() -> str | None:
    """Return the latest revision of this code, or None without migrations."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415  slow, and only /readyz needs it

    return ScriptDirectory(str(PROJECT_ROOT / "migrations")).get_current_head()
