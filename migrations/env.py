"""Migrates one database at a time: others wait for the lock, and a waiting ALTER gives up soon."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

import alchemist.app  # noqa: F401  registers every model
from alchemist import config
from alchemist.db import Base

# Any number will do, as long as nothing else in the database locks it.
LOCK = 0xA1C4E


def run() -> None:
    url = context.config.attributes.get("url") or config.load().database_url
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with engine.connect() as connection:
        # Of the session, so that it outlives the transactions of the migrations.
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.execute(text("SET lock_timeout = '4s'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()


run()
