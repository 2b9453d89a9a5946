"""The database that a command uses: that of DATABASE_URL, or an embedded PostgreSQL."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
from sqlalchemy import URL

from alchemist import config, embedded
from alchemist import database as db

from . import migrations
from .signals import termination_like_ctrl_c

DEFAULT_DATA = Path(".alchemist")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Use the embedded PostgreSQL with this data directory, not DATABASE_URL. "
    f"[default: {DEFAULT_DATA}, if DATABASE_URL is not set]",
)


class TargetDatabase(NamedTuple):
    """A database that is running, and where it is, for people."""

    settings: config.Settings
    location: str
    is_embedded: bool

    @property
    def url(self) -> URL:
        return self.settings.database_url


def load_dotenv_and_choose_server(data: Path | None) -> embedded.EmbeddedPostgres | None:
    """Return the embedded PostgreSQL to use, or None for the database of DATABASE_URL."""
    config.load_dotenv()
    variables = ("DATABASE_URL", config.file_variable_name("DATABASE_URL"))
    if data is None and any(name in os.environ for name in variables):
        return None
    return embedded.EmbeddedPostgres(data or DEFAULT_DATA)


@contextmanager
def running_database(
    data: Path | None, *, creates: bool = False, migrates: bool = False
) -> Iterator[TargetDatabase]:
    """Yield a running database; start the embedded PostgreSQL for the time if needed.

    Only a command that `creates` starts on a new data directory. Raise ClickException unless the
    database is at the latest revision, or the command `migrates` it. SIGTERM ends the block as
    Ctrl-C does.
    """
    server = load_dotenv_and_choose_server(data)
    if server and not (creates or server.directory.has_cluster()):
        raise embedded.EmbeddedPostgresError(
            f"There is no database in {server.directory.path}: set DATABASE_URL, choose another "
            "directory with --data, or create one with `alchemist dev`."
        )
    settings = load_settings(server)
    with termination_like_ctrl_c(), ExitStack() as stack:
        if server:
            stack.callback(server.stop)
            settings = replace(settings, database_url=_start_or_reuse(server))
        url = settings.database_url
        if not migrates:
            migrations.require_compatible_revision(url)
        yield TargetDatabase(
            settings, describe_location(url, server), is_embedded=server is not None
        )


def load_settings(server: embedded.EmbeddedPostgres | None) -> config.Settings:
    """Return the settings, with the URL of the embedded PostgreSQL if that is used."""
    return config.load(database_url=server.url) if server else config.load()


def _start_or_reuse(server: embedded.EmbeddedPostgres) -> URL:
    """Return the URL of the embedded PostgreSQL, which `alchemist dev` may have started."""
    try:
        server.start()
    except embedded.DataDirectoryInUse as error:
        url = embedded.socket_url(error.socket_dir)
        if not embedded.wait_until_ready(url, timeout=30):
            message = f"{error} The PostgreSQL of that process does not accept connections."
            raise embedded.EmbeddedPostgresError(message) from error
        return url
    return server.url


def describe_location(url: URL, server: embedded.EmbeddedPostgres | None) -> str:
    """Return the database, host and port of a connection, or the embedded data directory."""
    if server:
        return f"the embedded PostgreSQL in {server.directory.path}"
    with db.create_unpooled_engine(url).connect() as connection:
        info = connection.connection.dbapi_connection.info  # type: ignore[union-attr]
        return f"database {info.dbname} on {info.host}:{info.port}"
