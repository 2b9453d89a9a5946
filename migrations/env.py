"""Migrates one database at a time: others wait for the lock, and a waiting ALTER gives way."""

from time import sleep

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

import alchemist.app  # noqa: F401  registers every model
from alchemist import config
from alchemist.api import database_errors
from alchemist.database import Base

# Any number will do, as long as nothing else in the database locks it.
TRY_TO_LOCK = text(f"SELECT pg_try_advisory_lock({0xA1C4E})")
LOCK_NOT_AVAILABLE = "55P03"
# An ALTER that waits for a long reader makes all who come after it wait as well. So it waits for a
# second, and lets them pass for so many before it tries again.
PATIENCE = text("SET lock_timeout = '1s'")
PAUSES = (1, 2, 4, 8)


def run() -> None:
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=Base.metadata)
        migrate()
        return
    url = context.config.attributes.get("url") or config.load().database_url
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with engine.connect() as connection:
        take_turn(connection)
        context.configure(connection=connection, target_metadata=Base.metadata)
        persist()


def take_turn(connection: Connection) -> None:
    """Take the lock for the session, so that it outlives the transactions of the migrations.

    Nobody waits for it in a statement: whoever builds an index beside those who work waits until
    the statements end that began before.
    """
    while not connection.execute(TRY_TO_LOCK).scalar_one():
        connection.commit()
        sleep(0.1)
    connection.commit()


def persist() -> None:
    for pause in (*context.config.attributes.get("pauses", PAUSES), 0):
        try:
            return migrate()
        except OperationalError as error:
            if database_errors.sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
        sleep(pause)
    raise CommandError(
        "Another session keeps a table locked (pg_stat_activity knows which). Nothing was changed: "
        "end that session, or try again when it has ended."
    )


def migrate() -> None:
    with context.begin_transaction():
        context.execute(PATIENCE)
        context.run_migrations()


run()
