"""Compare the revision of a database with the migrations, and upgrade it."""

import alembic.command
import click
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL
from sqlalchemy.exc import ProgrammingError

from alchemist import database as db


def require_compatible_revision(url: URL) -> None:
    """Raise ClickException unless this code works on the tables of the database."""
    if not _fetch_revision_and_compatibility(url)[1]:
        raise click.ClickException("The database is not up to date: run `alchemist migrate`.")


def upgrade_to_latest(url: URL) -> tuple[str | None, str | None]:
    """Migrate to the latest revision, or keep a newer one on which this code works.

    Return the revisions before and after.
    """
    before, is_compatible = _fetch_revision_and_compatibility(url)
    if is_compatible:
        return before, before
    _upgrade_with_progress(db.alembic_config(url), before)
    return before, db.latest_revision()


def _upgrade_with_progress(config: Config, before: str | None) -> None:
    scripts = ScriptDirectory.from_config(config)
    if before is not None:
        # Raises CommandError before any output if this code does not know the revision.
        scripts.get_revision(before)
    count = len(list(scripts.iterate_revisions("head", before or "base")))
    with click.progressbar(length=count, label="Migrating the tables") as bar:
        config.attributes["on_version_apply"] = lambda **_: bar.update(1)
        alembic.command.upgrade(config, "head")


def _fetch_revision_and_compatibility(url: URL) -> tuple[str | None, bool]:
    """Return the revision of the database, and whether this code works on it."""
    try:
        with db.create_unpooled_engine(url).connect() as connection:
            row = connection.execute(db.DATABASE_STATE, {"revision": db.latest_revision()}).first()
    except ProgrammingError:
        # The table does not exist before the first migration.
        row = None
    return (row[0], row[1]) if row else (None, False)
