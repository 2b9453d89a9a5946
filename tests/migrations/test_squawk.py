"""A linter reads each migration as SQL, for what would lock out those who work meanwhile."""

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
    # To widen a varchar rewrites no row, and takes its lock for a moment.
    "prefer-text-field",
    # Positions, statuses, and counters of one row's writes.
    "prefer-bigint-over-int",
    # A migration may fill a table for long; what others wait for is bounded by its lock_timeout.
    "require-statement-timeout",
]
SCRIPTS = ScriptDirectory.from_config(db.alembic_config(None))
REVISIONS = {script.revision: script.down_revision for script in SCRIPTS.walk_revisions()}


def sql(verb, span):
    config = db.alembic_config(None)
    config.output_buffer = StringIO()
    getattr(alembic.command, verb)(config, span, sql=True)
    return config.output_buffer.getvalue()


def complaints(statements):
    command = [SQUAWK, "--pg-version=14", f"--exclude={','.join(EXCLUDED)}", "--reporter=gcc"]
    found = subprocess.run(command, input=statements, capture_output=True, text=True, check=False)
    assert found.stderr == ""
    return found.stdout.splitlines()


# Each by itself: in one script with its creation, a table would count as one that nobody uses yet.
@pytest.mark.parametrize(("revision", "before"), REVISIONS.items())
def test_a_migration_locks_nobody_out(revision, before):
    statements = sql("upgrade", f"{before or 'base'}:{revision}")
    assert "lock_timeout" in statements
    assert complaints(statements) == []


DANGEROUS = {
    "CREATE INDEX potions_x_idx ON potions (name);": "require-concurrent-index-creation",
    "ALTER TABLE potions ALTER COLUMN name TYPE text;": "changing-column-type",
    "ALTER TABLE potions ADD CHECK (name <> 'x');": "constraint-missing-not-valid",
    "ALTER TABLE potions ALTER COLUMN description SET NOT NULL;": "adding-not-nullable-field",
    "ALTER TABLE potions RENAME COLUMN name TO title;": "renaming-column",
}


@pytest.mark.parametrize(("statement", "rule"), DANGEROUS.items(), ids=DANGEROUS.values())
def test_the_linter_finds_what_is_dangerous(statement, rule):
    script = f"BEGIN; SET LOCAL lock_timeout = '1s'; {statement} COMMIT;"
    assert any(rule in complaint for complaint in complaints(script))


def test_each_migration_back_can_be_read_before_it_runs():
    for revision, before in REVISIONS.items():
        assert "DROP" in sql("downgrade", f"{revision}:{before or 'base'}")
