"""`alchemist dev`: a development server with an embedded PostgreSQL."""

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen
from time import sleep

import click

from alchemist import config, embedded

from . import dev_server, errors, migrations, target_database, tokens
from .output import echo
from .signals import termination_like_ctrl_c


@click.command()
@click.option("--host", help="A loopback address. [default: that of ALCHEMIST_BIND, 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 selects a free port. [default: that of ALCHEMIST_BIND, 8000]",
)
@click.option("--closed", is_flag=True, help="Require tokens, and print a first one.")
@click.option("--reload", is_flag=True, help="Restart the workers when the code changes.")
@target_database.data_option
def dev(host: str | None, port: int | None, data: Path | None, closed: bool, reload: bool) -> None:
    """Run a development server until Ctrl-C.

    Starts an embedded PostgreSQL, or uses the database of DATABASE_URL, and migrates it. Access is
    open: every caller on this machine has every permission without a token. With `--closed`, or
    with ALCHEMIST_OPEN_ACCESS=false, callers need tokens as in production.

    \b
    Example:
        alchemist dev --port 8080 --data ~/apothecary
    """
    with (
        suppress(KeyboardInterrupt),
        termination_like_ctrl_c(),
        errors.report_expected_errors(),
        ExitStack() as stack,
    ):
        server = target_database.load_dotenv_and_choose_server(data)
        bind = os.environ.get("ALCHEMIST_BIND", config.Settings.bind)
        host, port = dev_server.choose_address(host, port, bind)
        listener = stack.enter_context(dev_server.open_loopback_listener(host, port))
        address, port = dev_server.format_address(host, listener), listener.getsockname()[1]
        settings = _load_settings(server, address, closed=closed)
        processes: dict[str, Popen[bytes]] = {}
        if server:
            stack.callback(server.stop)
            processes["PostgreSQL"] = server.start(_print_step)
        migrations.upgrade_to_latest(settings.database_url)
        _print_step("Starting the server")
        gunicorn = dev_server.running_gunicorn(
            listener, _gunicorn_variables(settings), reload=reload
        )
        processes["gunicorn"] = stack.enter_context(gunicorn)
        dev_server.wait_until_live(host, port, processes)
        echo("\n".join(_welcome_lines(settings, data, server)))
        while True:
            dev_server.check_processes_run(processes)
            sleep(0.1)
    echo("Stopped.")


def _print_step(step: str) -> None:
    echo(f"{step} …")


def _load_settings(
    server: embedded.EmbeddedPostgres | None, address: str, *, closed: bool
) -> config.Settings:
    """Return the settings, with open access unless that is switched off."""
    overrides: dict[str, object] = {"bind": address}
    if server:
        overrides["database_url"] = server.url
    if closed or "ALCHEMIST_OPEN_ACCESS" not in os.environ:
        overrides["open_access"] = not closed
    return config.load(**overrides)


def _gunicorn_variables(settings: config.Settings) -> dict[str, str]:
    """Return the variables of gunicorn that differ from those of this process."""
    return {
        "DATABASE_URL": settings.database_url.render_as_string(hide_password=False),
        config.file_variable_name("DATABASE_URL"): "",
        "ALCHEMIST_BIND": settings.bind,
        "ALCHEMIST_OPEN_ACCESS": str(settings.open_access).lower(),
    }


def _welcome_lines(
    settings: config.Settings,
    data: Path | None,
    server: embedded.EmbeddedPostgres | None,
) -> Iterator[str]:
    option = f" --data {shlex.quote(str(data))}" if data else ""
    yield "Ready."
    yield f"  API   http://{settings.bind}/api/v2/"
    yield f"  Docs  http://{settings.bind}/api/docs"
    yield f"  Data  {target_database.describe_location(settings.database_url, server)}"
    if settings.open_access:
        yield "Access is open: every caller on this machine has every permission."
    else:
        yield from _create_or_describe_tokens(settings, option)
    if server:
        yield "The embedded PostgreSQL is for development and tests only: it does not get every"
        yield "security release of PostgreSQL."
    yield f"Run `alchemist load-examples{option}` for example data. Stop with Ctrl-C."


def _create_or_describe_tokens(settings: config.Settings, option: str) -> Iterator[str]:
    if secret := tokens.create_dev_token(settings.database_url):
        yield "Access needs a token. Here is one of an admin, which is shown only now:"
        yield f"  {secret}"
    else:
        yield "Access needs a token. For another one, run"
        yield f"  alchemist token create{option} --email {tokens.DEV_EMAIL} --role admin"
