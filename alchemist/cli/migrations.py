"""Compare the revision of a database with the migrations, and upgrade it."""

import alembic.command
import click
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
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
        _upgrade_with_progress(db.alembic_config(url), before)
    return before, head


def _upgrade_with_progress(config: Config, before: str | None) -> None:
    scripts = ScriptDirectory.from_config(config)
    if before is not None:
        # Raises CommandError before any output if this code does not know the revision.
        scripts.get_revision(before)
    count = len(list(scripts.iterate_revisions("head", before or "base")))
    with click.progressbar(length=count, label="Migrating the tables") as bar:
        config.attributes["on_version_apply"] = lambda **_: bar.update(1)
        alembic.command.upgrade(config, "head")


def _current_revision(url: URL) -> str | None:
    with db.create_unpooled_engine(url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
