"""The `alchemist` command."""

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import sleep

import click
from sqlalchemy import URL

from alchemist import config, embedded

from . import dev_server, errors, migrations, sample_data, tokens
from . import verify as verification

_data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path(".alchemist"),
    show_default=True,
    help="Where the embedded PostgreSQL keeps its data, when DATABASE_URL is not set.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The back end of an apothecary: its ingredients, its potions, and a shop around them.

    A first session, in any directory:

    \b
        alchemist dev
        alchemist load-examples        (in another terminal)
        curl http://127.0.0.1:8000/api/v2/potions

    In production the same code runs behind a proxy, on a PostgreSQL of its own:

    \b
        export DATABASE_URL=postgresql://alchemist:secret@db.example/alchemist
        alchemist migrate
        alchemist token create --email ada@alchemist.example --role admin
        gunicorn wsgi:app

    \b
    Environment, where a `.env` in the current directory fills what is left open:
        DATABASE_URL   the PostgreSQL to use; without it, `dev`, `load-examples`
                       and `verify` use an embedded one
        ALCHEMIST_…    workers, threads, time limits: the README has the table
    """


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Where to listen; 0 is any free port.",
)
@_data
def dev(host: str, port: int, data: Path) -> None:
    """Serve for development, until Ctrl-C.

    Starts an embedded PostgreSQL, or uses the one of DATABASE_URL; brings its tables up to date;
    and serves with open access: everybody who reaches the address may do everything.

    \b
    Example:
        alchemist dev --port 8080 --data ~/apothecary
    """
    _stop_as_on_ctrl_c()
    with suppress(KeyboardInterrupt), errors.reported(), ExitStack() as running:
        listener = running.enter_context(dev_server.listen(host, port))
        address, port = dev_server.address(host, listener), listener.getsockname()[1]
        watched: dict[str, dev_server.Poll] = {}
        server = _embedded(data)
        os.environ |= {"ALCHEMIST_BIND": address, "ALCHEMIST_OPEN_ACCESS": "true"}
        settings = config.load()
        if server:
            running.callback(server.stop)
            watched["PostgreSQL"] = server.start().poll
        migrations.upgrade(settings.database_url)
        disown = server.directory.close_inherited_lock if server else lambda: None
        service = dev_server.gunicorn(settings, listener, disown)
        watched["gunicorn"] = running.enter_context(service)
        dev_server.await_ready(host, port, watched)
        click.echo(_banner(address, data, server))
        while True:
            dev_server.check(watched)
            sleep(0.1)
    click.echo("Stopped.")


main.add_command(tokens.token)


@main.command()
def migrate() -> None:
    """Bring the tables of DATABASE_URL up to date.

    May run any number of times, also at once: one process migrates, the others wait for it.

    \b
    Example:
        DATABASE_URL=postgresql://alchemist@db/alchemist alchemist migrate
    """
    with errors.reported():
        url = config.load().database_url
        before, after = migrations.upgrade(url)
        done = "is up to date at" if before == after else f"went from {before or 'nothing'} to"
        click.echo(f"The database {url.database} {done} {after}.")


@main.command()
@_data
def load_examples(data: Path) -> None:
    """Fill the database with an apothecary to look at.

    Adds what is missing and leaves what is there, so it may run again. Works on DATABASE_URL, or
    on the embedded PostgreSQL, whether `alchemist dev` is running or not.

    \b
    Example:
        alchemist load-examples --data ~/apothecary
    """
    with errors.reported(), _database(data) as url:
        with click.progressbar(length=1, label="Loading examples") as bar:

            def show(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            added = sample_data.load(url, show)
        there = (bar.length or 0) - sum(added.values())
        new = ", ".join(f"{count} to {kind}" for kind, count in added.items())
        click.echo(f"Added {new}; {there} examples were there already.")


@main.command()
@_data
@click.pass_context
def verify(context: click.Context, data: Path) -> None:
    """Check that what the database holds can be true.

    Asks the rows themselves whether every constraint, reference and sum of the apothecary holds:
    coupons have counted their uses, orders add up, nothing refers to what is not there. A line for
    each assertion, `holds` or `FAILS`; after the latter how many rows contradict it, and the keys
    of the first ten. The exit code is 1 if any fails.

    Reads one snapshot in a transaction that cannot write, so it may run beside a live service and
    sees no half of an order. It reads every row: give a large database a quiet hour, and run it
    after each restore.

    \b
    Example:
        DATABASE_URL=postgresql://alchemist@db/alchemist alchemist verify
    """
    with errors.reported(), _database(data) as url:
        verdicts = []
        for verdict in verification.run(url):
            click.echo(_format_verdict(verdict))
            verdicts.append(verdict)
    context.exit(0 if all(verdict.holds for verdict in verdicts) else 1)


def _format_verdict(verdict: verification.Verdict) -> str:
    assertion = verdict.assertion
    if verdict.holds:
        return f"holds  {assertion.name}: {assertion.sentence}"
    more = ["…"] if verdict.count > len(verdict.offenders) else []
    how_many = "1 does not" if verdict.count == 1 else f"{verdict.count} do not"
    told = [f"FAILS  {assertion.name}: {assertion.sentence} But {how_many}:"]
    return "\n".join(told + [f"         {one}" for one in verdict.offenders + more])


def _embedded(data: Path) -> embedded.EmbeddedPostgres | None:
    """Return the server that takes the place of a DATABASE_URL, or None if there is one."""
    config.load_dotenv()
    if "DATABASE_URL" in os.environ:
        return None
    server = embedded.EmbeddedPostgres(data)
    os.environ["DATABASE_URL"] = server.url.render_as_string(hide_password=False)
    return server


@contextmanager
def _database(data: Path) -> Iterator[URL]:
    """Give the migrated database to work on, and the embedded one a server if it has none."""
    server = _embedded(data)
    if server is None:
        url = config.load().database_url
        migrations.check(url)
        yield url
        return
    try:
        url = _ensure_running(server)
        migrations.upgrade(url)
        yield url
    finally:
        server.stop()


def _ensure_running(server: embedded.EmbeddedPostgres) -> URL:
    try:
        server.start()
    except embedded.DataDirectoryInUse as use:
        url = embedded.url(use.socket_dir)
        if not embedded.wait_until_ready(url, timeout=30):
            raise embedded.EmbeddedPostgresError(f"{use} Its server does not answer.") from use
        return url
    return server.url


def _stop_as_on_ctrl_c() -> None:
    for request in (signal.SIGTERM, signal.SIGHUP):
        # Under `nohup` the latter stays ignored.
        if signal.getsignal(request) == signal.SIG_DFL:
            signal.signal(request, signal.default_int_handler)


def _banner(address: str, data: Path, server: embedded.EmbeddedPostgres | None) -> str:
    place = "" if data == Path(".alchemist") else f" --data {shlex.quote(str(data))}"
    stored = f"{server.directory.path}" if server else "the PostgreSQL of DATABASE_URL"
    lines = [
        "Ready.",
        f"  API   http://{address}/api/v2/",
        f"  Docs  http://{address}/api/docs",
        f"  Data  {stored}",
        "Access is open: everybody who reaches this address may do everything.",
    ]
    if server:
        lines += [
            "The embedded PostgreSQL is for development and tests only: it lags behind the",
            "security releases of PostgreSQL.",
        ]
    return "\n".join([*lines, f"`alchemist load-examples{place}` fills it. Ctrl-C stops it."])
