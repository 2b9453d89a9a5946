"""Migrations that run concurrently, wait for locks, or are killed."""

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
from tests.pgbouncer import needs_pgbouncer, pooled
from tests.schema_snapshot import engine, schema
from tests.servers import TIMEOUT

pytestmark = pytest.mark.slow


def migration_config(url, **attributes):
    """Return the configuration of a migration without retries."""
    config = db.alembic_config(url)
    config.attributes |= {"retry_delays": ()} | attributes
    return config


def upgrade(url, revision="head", **attributes):
    alembic.command.upgrade(migration_config(url, **attributes), revision)


def downgrade(url, revision="base", **attributes):
    alembic.command.downgrade(migration_config(url, **attributes), revision)


# Waits for a line of input, so that several processes start at the same time.
MIGRATOR = """
import sys, alembic.command, alchemist.app
from alchemist import config
from alchemist import database as db
input()
command, revision = sys.argv[1:]
getattr(alembic.command, command)(db.alembic_config(config.load().database_url), revision)
"""
BLOCKED_SESSIONS = text("""
    SELECT DISTINCT pid FROM pg_locks
    WHERE NOT granted AND (
        database = (SELECT oid FROM pg_database WHERE datname = current_database())
        OR pg_backend_pid() = ANY (pg_blocking_pids(pid))
    )
""")

OTHER_SESSIONS = text("""
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
""")
INSERT_ORDER = text("INSERT INTO orders (pk, totals) VALUES (gen_random_uuid(), '[]')")


@contextmanager
def migrator(url, *arguments):
    """Run a process that migrates as soon as it reads a line."""
    database_url = url.render_as_string(hide_password=False)
    environment = os.environ | {"DATABASE_URL": database_url}
    options = {"cwd": db.PROJECT_ROOT, "env": environment, "text": True}
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": STDOUT}
    with Popen([sys.executable, "-c", MIGRATOR, *arguments], **options, **pipes) as process:
        yield process


def test_four_processes_can_migrate_concurrently(empty_database):
    """The first one is blocked where alembic creates its table, until the others are connected."""
    with ExitStack() as stack:
        runs = [stack.enter_context(migrator(empty_database, "upgrade", "head")) for _ in range(4)]
        with engine(empty_database).connect() as blocker:
            blocker.execute(text("CREATE TABLE alembic_version (version_num text)"))
            for run in runs:
                start(run)
            wait_for_sessions(blocker, len(runs), OTHER_SESSIONS)
        outputs = [run.communicate(timeout=TIMEOUT)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, outputs
    assert ("columns", "potions.name") in schema(empty_database)


def wait_for_sessions(connection, count, query=BLOCKED_SESSIONS):
    """Wait until the query has returned `count` sessions in total: a blocked one soon gives up."""
    deadline = monotonic() + TIMEOUT
    pids = set()
    while len(pids) < count:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        pids |= set(connection.execute(query).scalars())
        assert monotonic() < deadline
        sleep(0.02)


def test_a_migration_that_cannot_lock_a_table_changes_nothing(fresh_database):
    before = schema(fresh_database)
    with engine(fresh_database).connect() as reader:
        lock_last_table(reader)
        with pytest.raises(CommandError, match="has locked a table"):
            downgrade(fresh_database, retry_delays=(0.01,))
    assert schema(fresh_database) == before
    downgrade(fresh_database)
    assert schema(fresh_database) == {}


def lock_last_table(connection):
    """Lock the table that a downgrade drops last, so that it fails after dropping the others."""
    connection.execute(text("LOCK TABLE ingredients IN ACCESS SHARE MODE"))


def test_a_migration_is_retried_until_a_reader_ends(fresh_database):
    with engine(fresh_database).connect() as reader:
        lock_last_table(reader)
        timer = Timer(1.3, reader.rollback)
        timer.start()
        downgrade(fresh_database, retry_delays=(0.5, 0.5))
        timer.join()
    assert schema(fresh_database) == {}


def test_a_waiting_migration_does_not_block_other_sessions_for_long(fresh_database):
    """A statement behind a waiting ALTER TABLE waits until the lock_timeout of that."""
    with (
        engine(fresh_database).connect() as reader,
        engine(fresh_database).connect() as other,
        migrator(fresh_database, "downgrade", "base") as run,
    ):
        lock_last_table(reader)
        start(run)
        wait_for_sessions(other, 1)
        other.execute(text("SET statement_timeout = '30s'"))
        other.execute(text("SELECT FROM ingredients"))
        other.rollback()
        reader.rollback()
        assert run.wait(TIMEOUT) == 0
    assert schema(fresh_database) == {}


def start(run):
    run.stdin.write("\n")
    run.stdin.flush()


def test_a_killed_migration_changes_nothing(fresh_database):
    before = schema(fresh_database)
    with engine(fresh_database).connect() as reader:
        lock_last_table(reader)
        with migrator(fresh_database, "downgrade", "base") as run:
            start(run)
            wait_for_sessions(reader, 1)
            run.kill()
    assert schema(fresh_database) == before
    # PostgreSQL has released its lock and rolled back its transaction.
    downgrade(fresh_database, retry_delays=(1, 2, 4))
    assert schema(fresh_database) == {}


def test_other_errors_of_a_migration_are_not_retried(fresh_database):
    with engine(fresh_database).connect() as reader:
        lock_last_table(reader)
        url = fresh_database.update_query_dict({"options": "-cstatement_timeout=300"})
        with pytest.raises(OperationalError, match="statement timeout"):
            downgrade(url)


def test_an_invalid_index_is_built_again(fresh_database):
    before = schema(fresh_database)
    downgrade(fresh_database, "0004")
    with engine(fresh_database).begin() as connection:
        connection.execute(text("CREATE INDEX orders_status_placed_at_pk_idx ON orders (version)"))
    upgrade(fresh_database)
    assert schema(fresh_database) == before


def test_building_an_index_does_not_block_writers(fresh_database):
    """It waits for open transactions, and other sessions can write meanwhile."""
    downgrade(fresh_database, "0004")
    with (
        engine(fresh_database).connect() as writer,
        engine(fresh_database).connect() as other,
        migrator(fresh_database, "upgrade", "head") as run,
    ):
        writer.execute(INSERT_ORDER)
        start(run)
        wait_for_sessions(other, 1)
        other.rollback()
        other.execute(text("SET statement_timeout = '30s'"))
        other.execute(INSERT_ORDER)
        other.rollback()
        writer.rollback()
        assert run.wait(TIMEOUT) == 0


INSERT_ROWS = """
    INSERT INTO users (pk, email, full_name) VALUES
        ('00000000-0000-0000-0000-000000000001', 'straße@alchemist.example', 'Ada Ingram'),
        ('00000000-0000-0000-0000-000000000002', '{email}@alchemist.example', 'Bea');
    INSERT INTO coupons (pk, code, init_count, remaining_count) VALUES
        ('00000000-0000-0000-0000-000000000003', 'ΧΡΟΝΟΣ', 1, 1),
        ('00000000-0000-0000-0000-000000000004', '{code}', 1, 1);
    INSERT INTO ingredients (pk, name, description)
    SELECT gen_random_uuid(), 'Génépi ' || n, NULL FROM generate_series(1, 2500) n;
"""


def test_derived_columns_of_existing_rows_are_filled(fresh_database):
    before = schema(fresh_database)
    downgrade(fresh_database, "0007")
    with engine(fresh_database).begin() as connection:
        connection.execute(text(INSERT_ROWS.format(email="bea", code="Sage")))
    upgrade(fresh_database)
    assert schema(fresh_database) == before
    with engine(fresh_database).connect() as connection:
        folded = connection.scalars(text("SELECT code_folded FROM coupons ORDER BY pk")).all()
        assert folded == ["χρονοσ", "sage"]
        query = "SELECT email_folded, email_sort FROM users ORDER BY pk LIMIT 1"
        keys = (
            "strasse@alchemist.example",
            "strasse!@alchemist!.example\x01\x01STRASSE@ALCHEMIST.EXAMPLE",
        )
        assert connection.execute(text(query)).one() == keys
        count = "SELECT count(*) FROM ingredients WHERE search_words @@ 'genepi' AND version = 1"
        assert connection.scalar(text(count)) == 2500


def test_rows_that_would_be_equal_stop_the_migration_before_any_change(fresh_database):
    downgrade(fresh_database, "0007")
    before = schema(fresh_database)
    with engine(fresh_database).begin() as connection:
        connection.execute(text(INSERT_ROWS.format(email="strasse", code="χρονος")))
    with pytest.raises(CommandError) as stopped:
        upgrade(fresh_database)
    message = str(stopped.value)
    assert "migration 0008 did not start" in message
    assert (
        "users.email: 'straße@alchemist.example' (00000000-0000-0000-0000-000000000001)" in message
    )
    assert "'strasse@alchemist.example' (00000000-0000-0000-0000-000000000002)" in message
    assert "coupons.code: 'ΧΡΟΝΟΣ' (00000000-0000-0000-0000-000000000003), 'χρονος'" in message
    assert schema(fresh_database) == before
    with engine(fresh_database).begin() as connection:
        connection.execute(text("DELETE FROM coupons"))
        connection.execute(text("DELETE FROM users"))
    upgrade(fresh_database)


def test_an_interrupted_fill_is_repeated(fresh_database):
    before = schema(fresh_database)
    downgrade(fresh_database, "0007")
    with engine(fresh_database).begin() as connection:
        connection.execute(text(INSERT_ROWS.format(email="bea", code="Sage")))
        column = "code_folded varchar(600) COLLATE \"C\" NOT NULL DEFAULT ''"
        connection.execute(text(f"ALTER TABLE coupons ADD COLUMN {column}"))
        connection.execute(text("CREATE INDEX coupons_code_folded_key ON coupons (code_folded)"))
    upgrade(fresh_database)
    assert schema(fresh_database) == before


def test_a_migration_waits_for_another_one_and_reports_it(fresh_database, capsys):
    name = {"application_name": "till\x1b[0m"}
    with engine(fresh_database.update_query_dict(name)).connect() as other:
        pid = other.scalar(text("SELECT pg_backend_pid() FROM pg_advisory_xact_lock(662606)"))
        with pytest.raises(CommandError, match=rf"did not end: process {pid} \(till"):
            downgrade(fresh_database, max_wait=0.3)
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"Another migration runs: waiting for process {pid} (till")
        assert "\x1b" not in line
        timer = Timer(0.3, other.rollback)
        timer.start()
        downgrade(fresh_database, "-1")
        timer.join()


@needs_pgbouncer
def test_migrations_through_a_pooler_leave_nothing_behind(empty_database, tmp_path):
    """The next client of a connection has neither their lock nor their timeouts."""
    with pooled(empty_database, tmp_path, default_pool_size="2") as url:
        upgrade(url)
        downgrade(url, "-1")
        upgrade(url)
        with ExitStack() as stack:
            for _ in range(2):
                connection = stack.enter_context(engine(url).connect())
                assert connection.scalar(text("SHOW lock_timeout")) == "0"
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            assert connection.scalar(text(locks)) == 0
    assert ("columns", "potions.name") in schema(empty_database)
