"""Run the migrations: one process at a time, and without blocking other sessions for long.

Nothing here belongs to a session, but all to transactions: behind a pooler in transaction mode, the
next transaction may have another session.
"""

from time import monotonic, sleep
from typing import Any, Literal

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Column, Connection, TypeDecorator, event, text
from sqlalchemy.exc import OperationalError

import alchemist.app  # noqa: F401  registers every model
from alchemist.api import database_errors
from alchemist.cli.output import echo
from alchemist.cli.target_database import running_database
from alchemist.database import Base, create_unpooled_engine
from alchemist.database.migrations import compatible_revisions

# An arbitrary key, which no other user of advisory locks in the database may use.
LOCK_KEY = 0xA1C4E
# Without parameters: the extended query protocol would keep the snapshot of the statement.
TRY_TO_LOCK = text(f"SELECT pg_try_advisory_xact_lock({LOCK_KEY})")
LOCK_OWNER = text("""
    SELECT format('process %s (%s) since %s', pid, application_name,
        coalesce(xact_start, state_change)::timestamptz(0)::text)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = :key AND objsubid = 1
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
LOCK_NOT_AVAILABLE = "55P03"
# Seconds to wait until another process has migrated.
MAX_WAIT = 600
# While an ALTER waits for its lock, every later statement on the table waits behind it. So it waits
# for one second only, and is tried again after these delays in seconds.
SET_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '1s'"
RETRY_DELAYS = (1, 2, 4, 8)
STORE_COMPATIBLE_REVISIONS = text("UPDATE alembic_version SET compatible_revisions = :revisions")


def run() -> None:
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=Base.metadata)
        with context.begin_transaction():
            context.execute(SET_LOCK_TIMEOUT)
            context.run_migrations()
        return
    attributes = context.config.attributes
    if "url" in attributes:
        run_online(attributes["url"])
        return
    with running_database(None, creates=True, migrates=True) as database:
        run_online(database.url)


def run_online(url: URL) -> None:
    attributes = context.config.attributes
    engine = create_unpooled_engine(url)
    event.listen(engine, "begin", set_lock_timeout)
    with engine.connect() as locking, engine.connect() as connection:
        acquire_lock(locking, attributes.get("max_wait", MAX_WAIT))
        callbacks: Any = [store_compatible_revisions]
        if "on_version_apply" in attributes:
            callbacks.append(attributes["on_version_apply"])
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            on_version_apply=callbacks,
            process_revision_directives=number_revision,
            render_item=render_derived_type,
            include_object=is_comparable,
        )
        migrate_with_retries()


def acquire_lock(connection: Connection, max_wait: float) -> None:
    """Acquire the advisory lock for a transaction, which stays open until all have migrated.

    A migration may commit several transactions of its own. Poll for the lock: a statement that
    waits for it has a snapshot, and the process with the lock would wait for the end of that in
    CREATE INDEX CONCURRENTLY: a deadlock. Raise CommandError after `max_wait` seconds.
    """
    deadline = monotonic() + max_wait
    reported = None
    while not connection.scalar(TRY_TO_LOCK):
        owner = connection.scalar(LOCK_OWNER, {"key": LOCK_KEY})
        connection.rollback()
        if owner not in (None, reported):
            echo(f"Another migration runs: waiting for {owner}.", err=True)
            reported = owner
        if monotonic() >= deadline:
            raise CommandError(f"Another migration did not end: {reported}. Nothing was changed.")
        sleep(0.1)


def number_revision(revision_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Give a new migration the next number, unless `--rev-id` names another."""
    head = revision_context.script.get_current_head()
    for migration in directives:
        if not migration.rev_id.isdecimal():
            migration.rev_id = f"{int(head) + 1:04}"


def render_derived_type(kind: str, element: Any, _context: Any) -> str | Literal[False]:
    """Return the code of the type of a derived column in a new migration; False is alembic's own.

    A migration imports nothing of the code, which changes.
    """
    is_own_type = kind == "type" and isinstance(element, TypeDecorator)
    return f"sa.{element.impl!r}" if is_own_type else False


def is_comparable(element: Any, _name: str | None, kind: str, *_: Any) -> bool:
    """Return whether models and tables can be compared: PostgreSQL rewrites expressions."""
    return kind != "index" or all(isinstance(each, Column) for each in element.expressions)


def set_lock_timeout(connection: Connection) -> None:
    connection.exec_driver_sql(SET_LOCK_TIMEOUT)


def store_compatible_revisions(*, ctx: Any, heads: set[str], **_: Any) -> None:
    """Store the revisions whose code works on the tables, for `/readyz` of other nodes."""
    for head in heads:
        if revisions := compatible_revisions(head):
            ctx.connection.execute(STORE_COMPATIBLE_REVISIONS, {"revisions": revisions})


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
        context.run_migrations()


run()
