"""Run the migrations: one process at a time, and without blocking other sessions for long."""

from time import sleep

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

import alchemist.app  # noqa: F401  registers every model
from alchemist import config
from alchemist.api import database_errors
from alchemist.database import Base, create_unpooled_engine

# An arbitrary key, which no other user of advisory locks in the database may use.
TRY_TO_LOCK = text(f"SELECT pg_try_advisory_lock({0xA1C4E})")
LOCK_NOT_AVAILABLE = "55P03"
# While an ALTER waits for its lock, every later statement on the table waits behind it. So it waits
# for one second only, and is tried again after these delays in seconds.
SET_LOCK_TIMEOUT = text("SET lock_timeout = '1s'")
RETRY_DELAYS = (1, 2, 4, 8)


def run() -> None:
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=Base.metadata)
        migrate()
        return
    url = context.config.attributes.get("url") or config.load().database_url
    with create_unpooled_engine(url).connect() as connection:
        acquire_lock(connection)
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            on_version_apply=context.config.attributes.get("on_version_apply"),
        )
        migrate_with_retries()


def acquire_lock(connection: Connection) -> None:
    """Acquire the advisory lock for the session: a migration may commit several transactions.

    Poll for it. A statement that waits for the lock would keep a transaction open, and the process
    with the lock would wait for that in CREATE INDEX CONCURRENTLY: a deadlock.
    """
    while not connection.execute(TRY_TO_LOCK).scalar_one():
        connection.commit()
        sleep(0.1)
    connection.commit()


def migrate_with_retries() -> None:
    for delay in (*context.config.attributes.get("retry_delays", RETRY_DELAYS), 0):
        try:
            return migrate()
        except OperationalError as error:
            if database_errors.sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
        sleep(delay)
    raise CommandError(
        "Another session has locked a table (see pg_stat_activity). Nothing was changed: end that "
        "session, or try again later."
    )


def migrate() -> None:
    with context.begin_transaction():
        context.execute(SET_LOCK_TIMEOUT)
        context.run_migrations()


run()
