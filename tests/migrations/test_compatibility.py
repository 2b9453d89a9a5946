"""Code works on the tables of a newer release if all migrations in between are additions."""

import shutil
import subprocess
import sys
from pathlib import Path

import alembic.command
import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import text

from alchemist import database as db
from alchemist.cli import main
from alchemist.database import migrations
from tests import processes
from tests.databases import temporary_database
from tests.schema_snapshot import engine
from tests.servers import TIMEOUT

LATEST = db.latest_revision()
NEXT = {"9001": True, "9002": True, "9003": False, "9004": True}
MIGRATION = """\"\"\"an empty migration\"\"\"

revision = {revision!r}
down_revision = {down_revision!r}
is_backward_compatible = {is_compatible}


def upgrade(): ...


def downgrade(): ...
"""


@pytest.fixture
def later_migrations(tmp_path, monkeypatch):
    """A copy of the project's migrations with four later ones; the third one is incompatible."""
    directory = tmp_path / "project"
    shutil.copytree(db.PROJECT_ROOT / "migrations", directory / "migrations")
    shutil.copy(db.PROJECT_ROOT / "alembic.ini", directory)
    down_revision = LATEST
    for revision, is_compatible in NEXT.items():
        source = MIGRATION.format(
            revision=revision, down_revision=down_revision, is_compatible=is_compatible
        )
        (directory / f"migrations/versions/{revision}_empty.py").write_text(source)
        down_revision = revision
    monkeypatch.setattr(migrations, "PROJECT_ROOT", directory)


def stored_revisions(url):
    with engine(url).connect() as connection:
        return connection.scalar(text("SELECT compatible_revisions FROM alembic_version"))


def test_every_new_migration_declares_whether_it_is_backward_compatible():
    scripts = ScriptDirectory.from_config(db.alembic_config(None))
    for script in scripts.iterate_revisions("head", migrations.FIRST_REVISION):
        assert isinstance(script.module.is_backward_compatible, bool), script.path


def test_migrations_store_the_revisions_whose_code_works(fresh_database, later_migrations):
    before = stored_revisions(fresh_database)
    assert before[0] == LATEST
    expected = {
        "9002": ["9002", "9001", *before],
        "9003": ["9003"],
        "9004": ["9004", "9003"],
    }
    for revision, revisions in expected.items():
        alembic.command.upgrade(migrations.alembic_config(fresh_database), revision)
        assert stored_revisions(fresh_database) == revisions
    alembic.command.downgrade(migrations.alembic_config(fresh_database), "9001")
    assert stored_revisions(fresh_database) == ["9001", *before]


@pytest.mark.parametrize(("revision", "works"), [("9002", True), ("9003", False)])
def test_commands_work_on_compatible_tables(
    fresh_database, later_migrations, monkeypatch, revision, works
):
    alembic.command.upgrade(migrations.alembic_config(fresh_database), revision)
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))
    for command in (["migrate"], ["token", "list"]):
        result = CliRunner().invoke(main, command)
        assert (result.exit_code == 0) is works, result.output
        assert works or result.output.startswith("Error: ")
    assert stored_revisions(fresh_database)[0] == revision


def git(*arguments, **options):
    command = ["git", "-C", str(db.PROJECT_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)


@pytest.fixture
def previous_release(tmp_path):
    """The directory with the files of the latest release before this code."""
    described = git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD", text=True)
    if described.returncode:
        pytest.skip("There is no release yet: no tag v* is an ancestor of this commit.")
    archive = git("archive", "--format=tar", described.stdout.strip())
    assert archive.returncode == 0, archive.stderr
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=archive.stdout, check=True)
    return tmp_path


# They use every table, and do not compare the code with itself.
HTTP_TESTS = ("tests/v1", "tests/domains/orders", "tests/domains/potions")


@pytest.mark.slow
def test_the_previous_release_works_on_these_tables(
    previous_release: Path, database_server, template
):
    scripts = ScriptDirectory(str(previous_release / "migrations"))
    if scripts.get_current_head() not in migrations.compatible_revisions(LATEST):
        pytest.skip("A migration since the previous release is not backward compatible.")
    with temporary_database(database_server, template) as copy:
        environment = processes.environment() | {
            "PYTHONPATH": str(previous_release),
            "ALCHEMIST_TEST_DATABASE_URL": copy.render_as_string(hide_password=False),
            "ALCHEMIST_TEST_TEMPLATE": copy.database,
        }
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", *HTTP_TESTS],
            cwd=previous_release,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=10 * TIMEOUT,
        )
    assert result.returncode == 0, result.stdout[-5000:]
