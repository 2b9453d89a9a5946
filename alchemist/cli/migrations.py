"""Compare the revision of a database with the migrations, and upgrade it."""

import alembic.command
import click
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL

from alchemist import database as db


def require_latest_revision(url: URL) -> None:
    """Raise ClickException unless the database is at the latest revision."""
    if _current_revision(url) != db.latest_revision():
        raise click.ClickException("The database is not up to date: run `alchemist migrate`.")


def upgrade_to_latest(url: URL) -> tuple[str | None, str | None]:
    """Migrate to the latest revision; return the revisions before and after."""
    before, head = _current_revision(url), db.latest_revision()
    if before != head:
        alembic.command.upgrade(db.alembic_config(url), "head")
    return before, head


def _current_revision(url: URL) -> str | None:
    with db.create_unpooled_engine(url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
