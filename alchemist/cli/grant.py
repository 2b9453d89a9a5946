"""`alchemist grant`: limit a role of PostgreSQL to what the service needs."""

from os import environ
from pathlib import Path

import click
import psycopg
from sqlalchemy import Connection, text

from alchemist import config
from alchemist import database as db
from alchemist.domains.audit.models import AuditEntry

from . import errors
from .output import echo
from .target_database import data_option, running_database

# A role with the rights of the owner of the tables, or a superuser, cannot be limited.
IS_OWNER = text("""
    SELECT pg_has_role(:role, relowner, 'USAGE') FROM pg_class WHERE oid = 'audit_log'::regclass
""")
ROLE_EXISTS = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
# The service writes every table, except those that only a migration writes, and the audit log,
# which it only extends. The default privileges are for tables of later migrations.
GRANTS = f"""
    REVOKE CREATE ON SCHEMA {{schema}} FROM PUBLIC;
    GRANT USAGE ON SCHEMA {{schema}} TO {{role}};
    REVOKE ALL ON ALL TABLES IN SCHEMA {{schema}} FROM {{role}};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{schema}} TO {{role}};
    REVOKE UPDATE, DELETE ON {AuditEntry.__tablename__} FROM {{role}};
    REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {{role}};
    ALTER DEFAULT PRIVILEGES IN SCHEMA {{schema}}
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {{role}};
"""


@click.command()
@click.argument("role")
@click.option(
    "--password",
    envvar="SERVICE_PASSWORD",
    help="Create the role if it does not exist, and set its password. [env: SERVICE_PASSWORD, or "
    "SERVICE_PASSWORD_FILE with the path of a file]",
)
@data_option
def grant(role: str, password: str | None, data: Path | None) -> None:
    """Let a database role run the service, and nothing else.

    ROLE may read and write every table, but it can only read and extend the audit log. Run this as
    the owner of the tables, after the first `alchemist migrate`; later migrations grant the same on
    new tables. Then run the service as ROLE. Commands that migrate, or delete audit entries, still
    need the owner.

    \b
    Example:
        DATABASE_URL=postgresql://owner@db/alchemist alchemist grant alchemist_service
    """
    with errors.report_expected_errors(), running_database(data) as database:
        password = password or _read_password()
        with db.create_unpooled_engine(database.url).begin() as connection:
            _ensure_role(connection, role, password)
            if connection.scalar(IS_OWNER, {"role": role}):
                message = f"{role} has the rights of the owner of the tables: use another role."
                raise click.ClickException(message)
            schema = connection.scalar(text("SELECT current_schema()"))
            names = {
                "role": _quote_identifier(connection, role),
                "schema": _quote_identifier(connection, schema),
            }
            connection.exec_driver_sql(GRANTS.format(**names))
        echo(f"In {database.location}, {role} may run the service.")
        echo("It can read and extend the audit log, not change it.")


def _read_password() -> str | None:
    """Return the content of the file that SERVICE_PASSWORD_FILE names, None without it."""
    with config.secrets_from_files(["SERVICE_PASSWORD"]) as file_errors:
        if file_errors:
            [error] = file_errors.values()
            raise click.ClickException(f"SERVICE_PASSWORD_FILE: {error}")
        return environ.get("SERVICE_PASSWORD")


def _ensure_role(connection: Connection, role: str, password: str | None) -> None:
    """Create the role if it does not exist, and set the password if there is one."""
    exists = connection.scalar(ROLE_EXISTS, {"role": role})
    if password is None:
        if not exists:
            raise click.ClickException(
                f"There is no role {role}: set SERVICE_PASSWORD to create it."
            )
        return
    # Hashed here, so that the log of PostgreSQL cannot contain it.
    driver: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    digest = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    action = "ALTER" if exists else "CREATE"
    connection.exec_driver_sql(
        f"{action} ROLE {_quote_identifier(connection, role)} LOGIN PASSWORD '{digest.decode()}'"
    )


def _quote_identifier(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)
