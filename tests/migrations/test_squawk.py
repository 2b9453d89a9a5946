"""Lint the SQL of each migration for statements that block other sessions."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import alembic.command
import pytest
from alembic.script import ScriptDirectory

from alchemist import database as db

SQUAWK = Path(sys.executable).parent / "squawk"
EXCLUDED = [
    # Widening a varchar rewrites no rows and needs its lock only for a moment.
    "prefer-text-field",
    # Positions, HTTP statuses and row versions fit into 32 bits.
    "prefer-bigint-over-int",
    # A migration may run long: its lock_timeout limits how long other sessions wait.
    "require-statement-timeout",
]
SCRIPTS = ScriptDirectory.from_config(db.alembic_config(None))
REVISIONS = {script.revision: script.down_revision for script in SCRIPTS.walk_revisions()}


def sql(command, revisions):
    config = db.alembic_config(None)
    config.output_buffer = StringIO()
    getattr(alembic.command, command)(config, revisions, sql=True)
    return config.output_buffer.getvalue()


def lint(statements):
    command = [SQUAWK, "--pg-version=14", f"--exclude={','.join(EXCLUDED)}", "--reporter=gcc"]
    result = subprocess.run(command, input=statements, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return result.stdout.splitlines()


# One script per migration: squawk ignores locks on tables that the same script creates.
@pytest.mark.parametrize(("revision", "before"), REVISIONS.items())
def test_a_migration_does_not_block_other_sessions(revision, before):
    statements = sql("upgrade", f"{before or 'base'}:{revision}")
    assert "lock_timeout" in statements
    assert lint(statements) == []


BLOCKING = {
    "CREATE INDEX potions_x_idx ON potions (name);": "require-concurrent-index-creation",
    "ALTER TABLE potions ALTER COLUMN name TYPE text;": "changing-column-type",
    "ALTER TABLE potions ADD CHECK (name <> 'x');": "constraint-missing-not-valid",
    "ALTER TABLE potions ALTER COLUMN description SET NOT NULL;": "adding-not-nullable-field",
    "ALTER TABLE potions RENAME COLUMN name TO title;": "renaming-column",
}


@pytest.mark.parametrize(("statement", "rule"), BLOCKING.items(), ids=BLOCKING.values())
def test_the_linter_reports_blocking_statements(statement, rule):
    script = f"BEGIN; SET LOCAL lock_timeout = '1s'; {statement} COMMIT;"
    assert any(rule in message for message in lint(script))


def test_each_downgrade_can_be_printed_as_sql():
    for revision, before in REVISIONS.items():
        assert "DROP" in sql("downgrade", f"{revision}:{before or 'base'}")
