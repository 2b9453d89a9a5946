"""The `alchemist` command."""

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from time import sleep

import click
from sqlalchemy import URL

from alchemist import config, embedded

from . import dev_server, errors, migrations, sample_data, tokens
from . import verify as verification
from .grant import grant
from .purge import purge

_data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path(".alchemist"),
    show_default=True,
    help="The data directory of the embedded PostgreSQL, used when DATABASE_URL is not set.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
        DATABASE_URL   the PostgreSQL database; without it, `dev`,
                       `load-examples` and `verify` use an embedded PostgreSQL
        ALCHEMIST_…    workers, threads, timeouts: see the table in the README
    """


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 selects a free port.",
)
@_data_option
def dev(host: str, port: int, data: Path) -> None:
    """Run a development server until Ctrl-C.

    Starts an embedded PostgreSQL, or uses the database of DATABASE_URL, and migrates it. Access is
    open: every caller on this machine has every permission, without a token.

    \b
    Example:
        alchemist dev --port 8080 --data ~/apothecary
    """
    _handle_termination_like_ctrl_c()
    with suppress(KeyboardInterrupt), errors.reported(), ExitStack() as stack:
        listener = stack.enter_context(dev_server.listening_socket(host, port))
        address, port = dev_server.format_address(host, listener), listener.getsockname()[1]
        processes: dict[str, Popen[bytes]] = {}
        server = _embedded_unless_configured(data)
        os.environ |= {"ALCHEMIST_BIND": address, "ALCHEMIST_OPEN_ACCESS": "true"}
        settings = config.load()
        if server:
            stack.callback(server.stop)
            processes["PostgreSQL"] = server.start()
        migrations.upgrade_to_latest(settings.database_url)
        processes["gunicorn"] = stack.enter_context(dev_server.running_gunicorn(listener))
        dev_server.await_ready(host, port, processes)
        click.echo(_banner(address, data, server))
        while True:
            dev_server.check_running(processes)
            sleep(0.1)
    click.echo("Stopped.")


main.add_command(tokens.token)
main.add_command(purge)
main.add_command(grant)


@main.command()
def migrate() -> None:
    """Migrate the database of DATABASE_URL to the latest revision.

    It is safe to run this several times, also concurrently: one process migrates, the others wait.

    \b
    Example:
        DATABASE_URL=postgresql://alchemist@db/alchemist alchemist migrate
    """
    with errors.reported():
        url = config.load().database_url
        before, after = migrations.upgrade_to_latest(url)
        result = f"was migrated from {before or 'nothing'} to"
        if before == after:
            result = "is up to date at"
        click.echo(f"The database {url.database} {result} {after}.")


@main.command()
@_data_option
def load_examples(data: Path) -> None:
    """Load an example shop into the database.

    Inserts missing examples and does not change existing rows, so it is safe to run again. Uses
    DATABASE_URL, or the embedded PostgreSQL, whether or not `alchemist dev` is running.

    \b
    Example:
        alchemist load-examples --data ~/apothecary
    """
    with errors.reported(), _migrated_database(data) as url:
        with click.progressbar(length=1, label="Loading examples") as bar:

            def update_bar(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            added = sample_data.load_missing(url, update_bar)
        skipped = (bar.length or 0) - sum(added.values())
        counts = ", ".join(f"{count} to {name}" for name, count in added.items())
        click.echo(f"Added {counts}; skipped {skipped}.")


@main.command()
@_data_option
@click.pass_context
def verify(context: click.Context, data: Path) -> None:
    """Check the consistency of the stored data.

    Checks that every declared constraint exists, and the rules that no constraint can express: a
    coupon counts its redemptions, an order is the sum of its items. Prints one line for each
    assertion, `passed` or `FAILED`; for the latter the number of violations and the primary keys
    of the first ten. The exit code is 1 if any assertion fails.

    It reads one snapshot in a read-only transaction, so it may run beside a live service. It reads
    every row: run it on a large database when there is little load, and after each restore.

    \b
    Example:
        DATABASE_URL=postgresql://alchemist@db/alchemist alchemist verify
    """
    with errors.reported(), _migrated_database(data) as url:
        verdicts = []
        for verdict in verification.evaluate_all(url):
            click.echo(_format_verdict(verdict))
            verdicts.append(verdict)
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


def _embedded_unless_configured(data: Path) -> embedded.EmbeddedPostgres | None:
    """Return an embedded PostgreSQL and set DATABASE_URL to it; None if DATABASE_URL is set."""
    config.load_dotenv()
    if "DATABASE_URL" in os.environ:
        return None
    server = embedded.EmbeddedPostgres(data)
    os.environ["DATABASE_URL"] = server.url.render_as_string(hide_password=False)
    return server


@contextmanager
def _migrated_database(data: Path) -> Iterator[URL]:
    """Yield the URL of a migrated database; run the embedded PostgreSQL for the time if needed."""
    server = _embedded_unless_configured(data)
    if server is None:
        url = config.load().database_url
        migrations.require_latest_revision(url)
        yield url
        return
    try:
        url = _start_or_reuse(server)
        migrations.upgrade_to_latest(url)
        yield url
    finally:
        server.stop()


def _start_or_reuse(server: embedded.EmbeddedPostgres) -> URL:
    try:
        server.start()
    except embedded.DataDirectoryInUse as error:
        url = embedded.socket_url(error.socket_dir)
        if not embedded.becomes_ready(url, timeout=30):
            message = f"{error} The PostgreSQL of that process does not accept connections."
            raise embedded.EmbeddedPostgresError(message) from error
        return url
    return server.url


def _handle_termination_like_ctrl_c() -> None:
    for signum in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` ignores SIGHUP; keep it ignored.
        if signal.getsignal(signum) == signal.SIG_DFL:
            signal.signal(signum, signal.default_int_handler)


def _banner(address: str, data: Path, server: embedded.EmbeddedPostgres | None) -> str:
    option = "" if data == Path(".alchemist") else f" --data {shlex.quote(str(data))}"
    location = f"{server.directory.path}" if server else "the database of DATABASE_URL"
    lines = [
        "Ready.",
        f"  API   http://{address}/api/v2/",
        f"  Docs  http://{address}/api/docs",
        f"  Data  {location}",
        "Access is open: every caller on this machine has every permission.",
    ]
    if server:
        lines += [
            "The embedded PostgreSQL is for development and tests only: it does not get every",
            "security release of PostgreSQL.",
        ]
    return "\n".join(
        [*lines, f"Run `alchemist load-examples{option}` for example data. Stop with Ctrl-C."]
    )
