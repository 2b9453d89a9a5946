"""The `alchemist` command."""

import json
from pathlib import Path
from typing import Any

import click

from alchemist import __version__, config

from . import errors, migrations, sample_data, tokens
from . import verify as verification
from .after_restore import after_restore, revocations
from .dev import dev
from .expire_orders import expire_orders
from .export import export
from .grant import grant
from .import_rows import import_rows
from .output import echo, escape
from .purge import purge
from .recompute_derived import recompute_derived
from .set_limits import set_limits
from .target_database import (
    TargetDatabase,
    data_option,
    load_dotenv_and_choose_server,
    load_settings,
    running_database,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """The back end of an apothecary: its ingredients, its potions, and a shop around them.

    A first session, in any directory:

    \b
        alchemist dev
        alchemist load-examples        (in another terminal)
        curl http://127.0.0.1:8000/api/v2/potions

    In production, behind a proxy and with a PostgreSQL server:

    \b
        export DATABASE_URL=postgresql://alchemist:secret@db.example/alchemist
        alchemist migrate
        alchemist token create --email ada@alchemist.example --role admin \\
            --allow-token-creation
        gunicorn wsgi:app

    \b
    Environment variables, also read from `.env` in the current directory:
        DATABASE_URL   the PostgreSQL database; without it, commands use the
                       embedded PostgreSQL that `dev` and `load-examples` create
        ALCHEMIST_…    workers, threads, timeouts: see the table in the README
    """


main.add_command(dev)
main.add_command(tokens.token)
main.add_command(purge)
main.add_command(expire_orders)
main.add_command(recompute_derived)
main.add_command(grant)
main.add_command(export)
main.add_command(import_rows)
main.add_command(set_limits)
main.add_command(revocations)
main.add_command(after_restore)


@main.command()
@data_option
def migrate(data: Path | None) -> None:
    """Migrate the database to the latest revision.

    It is safe to run this several times, also concurrently: one process migrates, the others wait.

    \b
    Example:
        DATABASE_URL=postgresql://alchemist@db/alchemist alchemist migrate
    """
    with errors.report_expected_errors(), running_database(data, migrates=True) as database:
        name = database.location[0].upper() + database.location[1:]
        before, after = migrations.upgrade_to_latest(database.url)
        result = f"was migrated from {before or 'nothing'} to"
        if before == after:
            result = "is up to date at"
        echo(f"{name} {result} {after}.")


@main.command()
@data_option
@click.option("--yes", is_flag=True, help="Do not ask before writing to another database.")
def load_examples(data: Path | None, yes: bool) -> None:
    """Load an example shop into the database.

    Inserts missing examples, two admins among them, and does not change existing rows, so it is
    safe to run again. It asks first, unless the database is the embedded PostgreSQL, whether or not
    `alchemist dev` is running.

    \b
    Example:
        alchemist load-examples --data ~/apothecary
    """
    with (
        errors.report_expected_errors(),
        running_database(data, creates=True, migrates=True) as database,
    ):
        if database.is_embedded:
            migrations.upgrade_to_latest(database.url)
        else:
            migrations.require_compatible_revision(database.url)
            echo(f"This loads example data, with two admins, into {database.location}.")
            yes or click.confirm("Continue? (--yes skips this question.)", abort=True)
        _load_examples(database)


def _load_examples(database: TargetDatabase) -> None:
    label = escape(f"Loading examples into {database.location}")
    with click.progressbar(length=1, label=label) as bar:

        def update_bar(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        added = sample_data.load_missing(database.url, update_bar)
    skipped = (bar.length or 0) - sum(added.values())
    counts = ", ".join(f"{count} to {name}" for name, count in added.items())
    echo(f"Added {counts}; skipped {skipped}.")


@main.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_context
def verify(context: click.Context, data: Path | None, as_json: bool) -> None:
    """Check the consistency of the stored data.

    Checks that every declared constraint exists, and the rules that no constraint can express: a
    coupon counts its redemptions, an order is the sum of its items, a search finds each row. Prints
    one line for each assertion, `passed` or `FAILED`; for the latter the number of violations and
    the primary keys of the first ten. The exit code is 1 if any assertion fails.

    It reads one snapshot in a read-only transaction, so it may run beside a live service. It reads
    every row: run it on a large database when there is little load, and after each restore.

    \b
    Example:
        DATABASE_URL=postgresql://alchemist@db/alchemist alchemist verify
    """
    with errors.report_expected_errors(), running_database(data) as database:
        verdicts = []
        for verdict in verification.evaluate_all(database.url):
            verdicts.append(verdict)
            if not as_json:
                echo(_format_verdict(verdict))
    if as_json:
        click.echo(json.dumps([_to_json(verdict) for verdict in verdicts], indent=2))
    context.exit(0 if all(verdict.passed for verdict in verdicts) else 1)


def _format_verdict(verdict: verification.Verdict) -> str:
    assertion = verdict.assertion
    line = f"{assertion.name}: {assertion.description}"
    if verdict.passed:
        return f"passed  {line}"
    ellipsis = ["…"] if verdict.count > len(verdict.keys) else []
    violations = "1 violation" if verdict.count == 1 else f"{verdict.count} violations"
    keys = [f"          {key}" for key in verdict.keys + ellipsis]
    return "\n".join([f"FAILED  {line} {violations}:", *keys])


def _to_json(verdict: verification.Verdict) -> dict[str, Any]:
    """Return a verdict with the number of violations and the keys of the first ones."""
    return {
        "name": verdict.assertion.name,
        "description": verdict.assertion.description,
        "passed": verdict.passed,
        "violations": verdict.count,
        "keys": verdict.keys,
    }


@main.command("config")
@data_option
def show_config(data: Path | None) -> None:
    """Print the settings that are in effect, without passwords.

    The lines have the format of `.env`. A setting without a value is a comment.

    \b
    Example:
        alchemist config
    """
    with errors.report_expected_errors():
        settings = load_settings(load_dotenv_and_choose_server(data))
        for name, text in config.as_variables_without_passwords(settings).items():
            echo(f"{name}={text}" if text else f"# {name}=")
