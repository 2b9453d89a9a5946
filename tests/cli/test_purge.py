"""`alchemist purge`: delete expired rows, and no others."""

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import main

DATA = """
    INSERT INTO idempotency_keys (caller, key, fingerprint, status, headers, body, created_at)
    SELECT 'a', age, '', 201, '{}', '', now() - age::interval
    FROM unnest(ARRAY['1 hour', '23 hours', '25 hours', '30 days']) AS age;
    INSERT INTO users (pk, email, full_name)
    VALUES ('01935f2e-7c1a-7b3e-9d3c-0123456789ab', 'ada@alchemist.example', 'Ada');
    INSERT INTO tokens (pk, user_id, label, digest, expires_at, revoked_at)
    SELECT gen_random_uuid(), '01935f2e-7c1a-7b3e-9d3c-0123456789ab', label, label,
        now() + expires::interval, now() + revoked::interval
    FROM (VALUES
        ('live', '1 day', NULL), ('expired', '-1 day', NULL), ('long expired', '-40 days', NULL),
        ('revoked', '1 day', '-1 day'), ('long revoked', '1 day', '-40 days')
    ) AS tokens (label, expires, revoked);
    INSERT INTO audit_log (pk, resource, resource_pk, action, fields, created_at)
    SELECT gen_random_uuid(), 'heroes', gen_random_uuid(), 'create', '{}', now() - age::interval
    FROM unnest(ARRAY['1 day', '400 days']) AS age;
    INSERT INTO orders (pk, placed_at, expires_at, totals)
    SELECT gen_random_uuid(), now() - interval '2 days', now() + expires::interval, '[]'
    FROM unnest(ARRAY['-1 day', '1 day']) AS expires
"""


@pytest.fixture
def run_purge(fresh_database, monkeypatch):
    """Return a function that runs `alchemist purge`; it returns remaining rows and the output."""
    bind = db.session.session_factory.kw.get("bind")
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))
    engine = create_engine(fresh_database, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(DATA)

    def run(*arguments):
        result = CliRunner().invoke(main, ["purge", *arguments])
        assert result.exit_code == 0, result.output
        with engine.connect() as connection:
            remaining = [
                connection.scalars(text(f"SELECT {column} FROM {table} ORDER BY 1")).all()
                for table, column in (("idempotency_keys", "key"), ("tokens", "label"))
            ]
            entries = connection.scalar(
                text("SELECT count(*) FROM audit_log WHERE resource = 'heroes'")
            )
        return [*remaining, entries, result.output.splitlines()]

    yield run
    db.session.configure(bind=bind)


def test_it_deletes_expired_keys_and_old_tokens(run_purge):
    keys, labels, entries, lines = run_purge()
    assert keys == ["1 hour", "23 hours"]
    assert labels == ["expired", "live", "revoked"]
    assert entries == 2
    assert lines[1:3] == ["2 idempotency keys deleted.", "2 tokens deleted."]


def test_it_deletes_old_audit_entries_with_the_option(run_purge):
    _, labels, entries, lines = run_purge("--token-days", "0", "--audit-days", "365")
    assert labels == ["live"]
    assert entries == 1
    assert lines[3] == "1 audit entries deleted."


def test_it_cancels_expired_orders(run_purge):
    *_, lines = run_purge()
    assert lines[-1] == "1 orders cancelled."
    *_, lines = run_purge()
    assert lines[-1] == "0 orders cancelled."


def test_the_settings_say_how_long_rows_are_kept(run_purge, monkeypatch):
    monkeypatch.setenv("ALCHEMIST_TOKEN_RETENTION_DAYS", "0")
    monkeypatch.setenv("ALCHEMIST_AUDIT_RETENTION_DAYS", "365")
    _, labels, entries, _ = run_purge("--token-days", "30", "--audit-days", "1000")
    assert (labels, entries) == (["expired", "live", "revoked"], 2)
    _, labels, entries, _ = run_purge()
    assert (labels, entries) == (["live"], 1)
