"""Migrations under fire: in a crowd, behind a long reader, and killed half way."""

import os
import sys
from contextlib import ExitStack, contextmanager
from subprocess import PIPE, STDOUT, Popen
from threading import Timer
from time import monotonic, sleep

import alembic.command
import pytest
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from alchemist import database as db
from tests.schema_snapshot import engine, schema


def migrating(url, **how):
    """Return the configuration of a migration that does not wait for locks for long."""
    config = db.alembic_config(url)
    config.attributes |= {"pauses": ()} | how
    return config


def upgrade(url, to="head", **how):
    alembic.command.upgrade(migrating(url, **how), to)


def downgrade(url, to="base", **how):
    alembic.command.downgrade(migrating(url, **how), to)


# Waits for a line, so that all of them begin at once.
MIGRATOR = """
import sys, alembic.command, alchemist.app
from alchemist import config
from alchemist import database as db
input()
verb, revision = sys.argv[1:]
getattr(alembic.command, verb)(db.alembic_config(config.load().database_url), revision)
"""
WAITING = text("""
    SELECT DISTINCT pid FROM pg_locks
    WHERE NOT granted AND (
        database = (SELECT oid FROM pg_database WHERE datname = current_database())
        OR pg_backend_pid() = ANY (pg_blocking_pids(pid))
    )
""")

CONNECTED = text("""
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
""")
WRITE = text("INSERT INTO orders (pk, totals) VALUES (gen_random_uuid(), '[]')")


@contextmanager
def migrator(url, *what):
    """Give a process that migrates as soon as it gets a line."""
    shown = url.render_as_string(hide_password=False)
    how = {"cwd": db.PROJECT_ROOT, "env": os.environ | {"DATABASE_URL": shown}, "text": True}
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": STDOUT}
    with Popen([sys.executable, "-c", MIGRATOR, *what], **how, **pipes) as process:
        yield process


def test_four_processes_may_migrate_at_once(empty_database):
    """One of them is held where alembic makes its first table, until the others are there."""
    with ExitStack() as stack:
        runs = [stack.enter_context(migrator(empty_database, "upgrade", "head")) for _ in range(4)]
        with engine(empty_database).connect() as holder:
            holder.execute(text("CREATE TABLE alembic_version (version_num text)"))
            for run in runs:
                begin(run)
            await_all(holder, len(runs), CONNECTED)
        told = [run.communicate(timeout=40)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, told
    assert ("columns", "potions.name") in schema(empty_database)


def await_all(connection, count, those=WAITING):
    """Return when so many others have been seen waiting: whoever waits for a table gives way."""
    deadline = monotonic() + 30
    seen = set()
    while len(seen) < count:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        seen |= set(connection.execute(those).scalars())
        assert monotonic() < deadline
        sleep(0.02)


def test_a_locked_table_makes_a_migration_give_up_with_nothing_half_done(fresh_database):
    before = schema(fresh_database)
    with engine(fresh_database).connect() as reader:
        read(reader)
        with pytest.raises(CommandError, match="keeps a table locked"):
            downgrade(fresh_database, pauses=(0.01,))
    assert schema(fresh_database) == before
    downgrade(fresh_database)
    assert schema(fresh_database) == {}


def read(connection):
    """Look at the last of the tables that go, so that others have gone when the lock is met."""
    connection.execute(text("LOCK TABLE ingredients IN ACCESS SHARE MODE"))


def test_a_migration_waits_for_a_reader_that_ends(fresh_database):
    with engine(fresh_database).connect() as reader:
        read(reader)
        ending = Timer(1.3, reader.rollback)
        ending.start()
        downgrade(fresh_database, pauses=(0.5, 0.5))
        ending.join()
    assert schema(fresh_database) == {}


def test_a_migration_lets_others_pass_while_it_waits_for_a_reader(fresh_database):
    """Whoever comes after a waiting ALTER waits for as long as it does, and no longer."""
    with (
        engine(fresh_database).connect() as reader,
        engine(fresh_database).connect() as newcomer,
        migrator(fresh_database, "downgrade", "base") as run,
    ):
        read(reader)
        begin(run)
        await_all(newcomer, 1)
        newcomer.execute(text("SET statement_timeout = '3s'"))
        newcomer.execute(text("SELECT FROM ingredients"))
        newcomer.rollback()
        reader.rollback()
        assert run.wait(40) == 0
    assert schema(fresh_database) == {}


def begin(run):
    run.stdin.write("\n")
    run.stdin.flush()


def test_a_migration_that_is_killed_half_way_leaves_nothing_half_done(fresh_database):
    before = schema(fresh_database)
    with engine(fresh_database).connect() as reader:
        read(reader)
        with migrator(fresh_database, "downgrade", "base") as run:
            begin(run)
            await_all(reader, 1)
            run.kill()
    assert schema(fresh_database) == before
    # Neither its lock nor its transaction is in the way of the next.
    downgrade(fresh_database, pauses=(0.1, 0.1))
    assert schema(fresh_database) == {}


def test_another_failure_of_a_migration_is_told_as_it_is(fresh_database):
    with engine(fresh_database).connect() as reader:
        limited = f'ALTER DATABASE "{fresh_database.database}" SET statement_timeout = 300'
        reader.execute(text(limited))
        reader.commit()
        read(reader)
        with pytest.raises(OperationalError, match="statement timeout"):
            downgrade(fresh_database)


def test_an_index_that_was_left_half_built_is_built_again(fresh_database):
    before = schema(fresh_database)
    downgrade(fresh_database, "0004")
    with engine(fresh_database).begin() as connection:
        connection.execute(text("CREATE INDEX orders_status_placed_at_pk_idx ON orders (version)"))
    upgrade(fresh_database)
    assert schema(fresh_database) == before


def test_an_index_is_built_beside_those_who_write(fresh_database):
    """Whoever has written and not yet committed is waited for, and keeps nobody else waiting."""
    downgrade(fresh_database, "0004")
    with (
        engine(fresh_database).connect() as writer,
        engine(fresh_database).connect() as newcomer,
        migrator(fresh_database, "upgrade", "head") as run,
    ):
        writer.execute(WRITE)
        begin(run)
        await_all(newcomer, 1)
        newcomer.rollback()
        newcomer.execute(text("SET statement_timeout = '3s'"))
        newcomer.execute(WRITE)
        newcomer.rollback()
        writer.rollback()
        assert run.wait(40) == 0
