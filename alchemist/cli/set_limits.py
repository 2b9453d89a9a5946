"""`alchemist set-limits`: the timeouts of the database role that the service runs as."""

from pathlib import Path

import click

from alchemist import database as db
from alchemist.database import session_limits

from . import errors
from .output import echo
from .target_database import data_option, running_database


@click.command("set-limits")
@data_option
def set_limits(data: Path | None) -> None:
    """Set the timeouts of the service as those of its database role.

    Poolers reject the options with which the service sets them in each connection. Run this as the
    role of the service, with its settings, and then the service with ALCHEMIST_LIMITS=role. They
    apply to new connections: let a pooler open its connections again (PgBouncer: RECONNECT).

    \b
    Example:
        DATABASE_URL=postgresql://alchemist_service@db/alchemist alchemist set-limits
    """
    with errors.report_expected_errors(), running_database(data) as database:
        with db.create_unpooled_engine(database.url).begin() as connection:
            role, name = session_limits.set_role_limits(connection, database.settings)
        limits = session_limits.session_limits(database.settings)
        echo(f"New connections of {role} to {name} on that server have these settings:")
        for setting, value in limits.items():
            echo(f"  {setting} = {value}{' ms' if value.isdecimal() else ''}")
