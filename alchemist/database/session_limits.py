"""The limits that PostgreSQL applies to each session of the service, and its time zone.

They are startup options of the connection, or settings of the database role: PgBouncer and RDS
Proxy reject such options, and PgBouncer's `ignore_startup_parameters` drops them silently.
"""

from collections.abc import Iterator, Mapping
from os import environ

from sqlalchemy import URL, Connection, text

from alchemist.config import Settings

TIME_ZONE = "TimeZone"
CURRENT_SETTINGS = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
REMOVE_LIMITS = (
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0"
)


def session_limits(settings: Settings) -> dict[str, str]:
    """Return the values of PostgreSQL's settings by name; times are in milliseconds."""
    timeouts = {
        "statement_timeout": settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
        "idle_in_transaction_session_timeout": settings.request_timeout,
        # How soon a statement ends, and releases its locks, after its client has disconnected.
        "client_connection_check_interval": 0.5,
    }
    milliseconds = {name: str(int(seconds * 1000)) for name, seconds in timeouts.items()}
    # In another time zone, the first or last hours of PostgreSQL's calendar fall outside of the
    # years that Python's datetime supports.
    return {**milliseconds, TIME_ZONE: "UTC"}


def startup_options(settings: Settings) -> dict[str, str]:
    """Return the libpq parameter `options`, or none if the limits are those of the role."""
    if settings.limits == "role":
        return {}
    limits = [f"-c {name}={value}" for name, value in session_limits(settings).items()]
    return {"options": " ".join([url_options(settings.database_url), *limits])}


def url_options(url: URL) -> str:
    """Return the `options` of the URL, or of PGOPTIONS as libpq does: `-c search_path=shop`."""
    return str(url.query.get("options", environ.get("PGOPTIONS", "")))


def set_role_limits(connection: Connection, settings: Settings) -> tuple[str, str]:
    """Set the limits of the connected role in the connected database; return both names."""
    role, database = connection.execute(text("SELECT current_user, current_database()")).one()
    quoted = connection.dialect.identifier_preparer.quote_identifier(database)
    for name, value in session_limits(settings).items():
        connection.exec_driver_sql(
            f"ALTER ROLE CURRENT_USER IN DATABASE {quoted} SET {name} = '{value}'"
        )
    return role, database


def describe_missing_limits(current: Mapping[str, str], limits: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each setting of a session that is weaker than its limit."""
    for name, limit in limits.items():
        value = current.get(name, "unknown")
        is_time = value.isdecimal() and limit.isdecimal()
        # 0 is no limit at all.
        if not (0 < int(value) <= int(limit) if is_time else value == limit):
            yield f"{name} is {value}, not {limit}."
