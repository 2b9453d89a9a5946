"""The migrations: there and back, alone and in a crowd, and to exactly what the models say."""

import os
import sys
from contextlib import ExitStack
from subprocess import PIPE, STDOUT, Popen
from time import monotonic, sleep

import alembic.command
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError
from uuid_utils.compat import uuid7

import alchemist.app  # noqa: F401  registers every model
from alchemist import db

SCHEMA = {
    "columns": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
            a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
            AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT conrelid::regclass::text || '.' || conname, contype, condeferrable,
            pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    """,
    "indexes": """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace = 'public'::regnamespace
    """,
    "others": """
        SELECT relname, relkind FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'i')
        UNION ALL SELECT proname, 'function' FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT typname, 'type' FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e')
        UNION ALL SELECT tgname, 'trigger' FROM pg_trigger WHERE NOT tgisinternal
    """,
}


def engine(url):
    return create_engine(url, poolclass=NullPool)


def schema(url):
    """Return what there is in a database, each thing by its name; alembic's own table left out."""
    found = {}
    with engine(url).connect() as connection:
        for kind, query in SCHEMA.items():
            for name, *what in connection.execute(text(query)):
                if not name.startswith("alembic_version"):
                    found[kind, name] = what
    return found


def upgrade(url):
    alembic.command.upgrade(db.alembic_config(url), "head")


def downgrade(url):
    alembic.command.downgrade(db.alembic_config(url), "base")


def test_there_is_one_head():
    scripts = ScriptDirectory.from_config(db.alembic_config(None))
    assert len(scripts.get_heads()) == 1


def test_migrations_build_what_the_models_describe(template, empty_database):
    db.Base.metadata.create_all(engine(empty_database))
    migrated, described = schema(template), schema(empty_database)
    assert {name: migrated.get(name) for name in described} == described
    assert migrated.keys() == described.keys()


def test_the_comparison_sees_columns_checks_and_indexes(template):
    found = schema(template)
    assert found["columns", "potion_ingredients.amount"][0] == "numeric(12,3)"
    assert (
        "amount > "
        in found["constraints", "potion_ingredients.potion_ingredients_amount_check"][-1]
    )
    assert "(name, pk)" in found["indexes", "potions_name_pk_idx"][0]


def test_each_migration_can_be_taken_back_and_made_again(empty_database):
    upgrade(empty_database)
    first = schema(empty_database)
    downgrade(empty_database)
    assert schema(empty_database) == {}
    upgrade(empty_database)
    assert schema(empty_database) == first


def test_there_are_no_native_enumerations(database):
    with engine(database).connect() as connection:
        named = connection.execute(text("SELECT typname FROM pg_type WHERE typtype = 'e'"))
        assert named.all() == []


def test_a_second_upgrade_changes_nothing(fresh_database):
    before = schema(fresh_database)
    upgrade(fresh_database)
    assert schema(fresh_database) == before


# Waits for a line, so that all of them begin at once.
MIGRATOR = """
import alembic.command, alchemist.app
from alchemist import config, db
input()
alembic.command.upgrade(db.alembic_config(config.load().database_url), "head")
"""
WAITING = text("""
    SELECT count(DISTINCT pid) FROM pg_locks
    WHERE NOT granted AND (
        database = (SELECT oid FROM pg_database WHERE datname = current_database())
        OR pg_backend_pid() = ANY (pg_blocking_pids(pid))
    )
""")


def test_four_processes_may_migrate_at_once(empty_database):
    """All of them are held where alembic makes its first table, and let go together."""
    url = empty_database.render_as_string(hide_password=False)
    how = {"cwd": db.ROOT, "env": os.environ | {"DATABASE_URL": url}, "text": True}
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": STDOUT}
    command = [sys.executable, "-c", MIGRATOR]
    with ExitStack() as stack:
        runs = [stack.enter_context(Popen(command, **how, **pipes)) for _ in range(4)]
        with engine(empty_database).connect() as holder:
            holder.execute(text("CREATE TABLE alembic_version (version_num text)"))
            for run in runs:
                run.stdin.write("\n")
                run.stdin.flush()
            await_all(holder, len(runs))
        told = [run.communicate(timeout=20)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, told
    assert ("columns", "potions.name") in schema(empty_database)


def await_all(connection, count):
    deadline = monotonic() + 10
    while connection.execute(WAITING).scalar_one() < count:
        assert monotonic() < deadline
        sleep(0.02)


def test_a_locked_table_makes_a_migration_give_up_with_nothing_half_done(fresh_database):
    before = schema(fresh_database)
    with engine(fresh_database).connect() as reader:
        # The last of the tables that go, so that others have gone when the lock is met.
        reader.execute(text("LOCK TABLE ingredients IN ACCESS SHARE MODE"))
        with pytest.raises(OperationalError, match="lock timeout"):
            downgrade(fresh_database)
    assert schema(fresh_database) == before
    downgrade(fresh_database)
    assert schema(fresh_database) == {}


def test_a_percent_sign_in_the_url_does_no_harm(empty_database):
    upgrade(empty_database.update_query_dict({"application_name": "100%"}))
    assert schema(empty_database)


@pytest.mark.parametrize("table", ["ingredients", "potions"])
def test_a_plain_insert_needs_a_key_and_a_name_only(fresh_database, table):
    with engine(fresh_database).begin() as connection:
        plain = text(f"INSERT INTO {table} (pk, name) VALUES (:pk, 'Mandrake')")
        connection.execute(plain, {"pk": uuid7()})
        shown = text(f"SELECT version, created_at = updated_at, description FROM {table}")
        assert connection.execute(shown).one() == (1, True, None)
