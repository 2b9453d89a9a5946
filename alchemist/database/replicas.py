"""Standbys that answer reads, and how fresh they are."""

import logging
import random
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, Self

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, Executable, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alchemist.config import Settings

from . import autocommit, deadline
from .engines import create_replica_engines
from .wal_position import UNREACHABLE, WalPosition, parse_lsn

POSITION = "position"
# Seconds between two checks of a standby, and that it is left alone after a failure.
CHECK_INTERVAL = PAUSE = 1.0
# Seconds that a check is trusted: one that is late hides whatever has changed since.
MAX_CHECK_AGE = 2.0
# Not the position that is written: with synchronous_commit=off, commits are written later.
INSERT_POSITION = text(
    "SELECT pg_walfile_name(lsn), lsn::text FROM pg_current_wal_insert_lsn() AS lsn"
)
STANDBY = text(
    "SELECT received_tli, pg_last_wal_replay_lsn()::text, conninfo FROM pg_stat_wal_receiver"
    " WHERE pg_is_in_recovery()"
)
# Every commit that a client knows of is flushed.
SYNCHRONY = text(
    "SELECT pid, sync_state, pg_current_wal_flush_lsn()::text,"
    " current_setting('synchronous_standby_names'), current_setting('synchronous_commit')"
    " FROM pg_stat_replication WHERE application_name = :name AND state = 'streaming'"
)
MISSING_PRIVILEGE = "The role of the service lacks pg_read_all_stats."
QUORUM = re.compile(r"\s*ANY\s+(\d+)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)

logger = logging.getLogger(__name__)


class NotFresh(Exception):
    """The reason why a standby cannot answer reads."""


class Replica:
    """A standby: its connections, and what the last check has found.

    `timeout` is in seconds. A thread checks the standby once a second, so that no request waits for
    one that does not answer.
    """

    def __init__(self, engine: Engine, primary: Engine, reads: str, timeout: float) -> None:
        self._engine, self._primary, self._reads, self._timeout = engine, primary, reads, timeout
        self.name = str(engine.url.query["host"])
        self._position = UNREACHABLE
        self._trusted_until = self._paused_until = 0.0
        self._reason: str | None = ""
        # The connection to the primary by which it is synchronous, and what was committed before.
        self._synchronous_since: tuple[int, int] | None = None
        self._lock, self._thread, self._is_disposed = Lock(), Thread(), Event()

    def is_usable(self) -> bool:
        """Return whether it may answer reads now, as the last check found."""
        return self._paused_until < monotonic() < self._trusted_until

    def fetch_all(
        self, statement: Executable, parameters: Mapping[str, Any], position: WalPosition | None
    ) -> Sequence[Any] | None:
        """Return the rows of a statement, or None if it has not replayed `position`, or fails."""
        try:
            with deadline.separate_wait_limit(self._timeout):
                if position is not None and not self._has_replayed(position):
                    return None
                rows = autocommit.execute(self._engine, statement, parameters)
        except SQLAlchemyError as error:
            # The standby is not to blame for a full pool, or for values that PostgreSQL rejects.
            if isinstance(error, DBAPIError) and not _sqlstate(error).startswith("22"):
                self._paused_until = monotonic() + PAUSE
            return None
        deadline.mark_replica_read()
        return rows

    def check(self) -> None:
        """Find out whether it may answer reads, and log if that has changed."""
        started_at = monotonic()
        try:
            with deadline.separate_wait_limit(self._timeout):
                self._check_is_fresh()
            self._trusted_until, reason = started_at + MAX_CHECK_AGE, None
        except (SQLAlchemyError, NotFresh) as error:
            self._trusted_until = 0.0
            reason = str(error) if isinstance(error, NotFresh) else "It cannot be checked."
        if reason != self._reason:
            self._reason = reason
            if reason is None:
                logger.info("Reads go to the standby %s.", self.name)
            else:
                logger.warning("No reads go to the standby %s: %s", self.name, reason)

    def dispose(self) -> None:
        """End the checks, and close the connections."""
        self._is_disposed.set()
        with suppress(RuntimeError):
            self._thread.join()
        self._engine.dispose()

    def start_checks_if_stopped(self) -> None:
        """Start the thread of the checks; in a forked process that of its parent is not alive."""
        if self._thread.is_alive():
            return
        with self._lock:
            if not self._thread.is_alive() and not self._is_disposed.is_set():
                self._thread = Thread(target=self._check_regularly, daemon=True)
                self._thread.start()

    def _check_regularly(self) -> None:
        while not self._is_disposed.is_set():
            self.check()
            self._is_disposed.wait(CHECK_INTERVAL)

    def _check_is_fresh(self) -> None:
        """Raise NotFresh unless it may answer reads."""
        name = self._update_position_and_fetch_name()
        if self._reads == POSITION:
            return
        before, self._synchronous_since = self._synchronous_since, None
        pid, lsn = self._check_synchrony_and_fetch_sender(name)
        self._synchronous_since = before if before and before[0] == pid else (pid, lsn)
        # What was committed before it was synchronous may still be missing.
        if self._position.lsn < self._synchronous_since[1]:
            raise NotFresh("It has not replayed what was committed before it was synchronous.")

    def _check_synchrony_and_fetch_sender(self, name: str) -> tuple[int, int]:
        """Return the pid that sends to it and the end of the log; raise NotFresh.

        Commits of the primary must wait until this standby has applied them.
        """
        rows = autocommit.execute(self._primary, SYNCHRONY, {"name": name})
        if len(rows) != 1:
            raise NotFresh(f"The primary has {len(rows)} standbys called {name!r}, not one.")
        pid, sync_state, lsn, standby_names, synchronous_commit = rows[0]
        if sync_state is None:
            raise NotFresh(MISSING_PRIVILEGE)
        if synchronous_commit != "remote_apply":
            raise NotFresh(f"synchronous_commit is {synchronous_commit}, not remote_apply.")
        if sync_state != "sync" and not (
            sync_state == "quorum" and _commits_wait_for_all(standby_names)
        ):
            raise NotFresh("Commits do not wait for it: synchronous_standby_names.")
        return pid, parse_lsn(lsn)

    def _update_position_and_fetch_name(self) -> str:
        """Store the position that it has replayed; return its name on the primary."""
        rows = autocommit.execute(self._engine, STANDBY, {})
        if not rows:
            raise NotFresh("It is no standby, or does not receive from a primary.")
        timeline, lsn, conninfo = rows[0]
        if timeline is None or lsn is None:
            raise NotFresh(MISSING_PRIVILEGE)
        self._position = WalPosition(timeline, parse_lsn(lsn))
        parameters = conninfo_to_dict(conninfo)
        return str(
            parameters.get("application_name") or parameters.get("fallback_application_name")
        )

    def _has_replayed(self, position: WalPosition) -> bool:
        if self._position < position and self._position.timeline == position.timeline:
            self._update_position_and_fetch_name()
        return self._position.timeline == position.timeline and self._position >= position


class Replicas:
    """The standbys that answer reads; `reads` is how it is known that they are fresh enough."""

    def __init__(self, replicas: Sequence[Replica], reads: str) -> None:
        self._replicas, self.reads = replicas, reads

    @classmethod
    def create_if_configured(cls, settings: Settings, primary: Engine) -> Self | None:
        """Return the standbys of the settings, or None without any."""
        reads, timeout = settings.replica_reads, settings.replica_timeout
        replicas = [
            Replica(engine, primary, reads, timeout) for engine in create_replica_engines(settings)
        ]
        return cls(replicas, reads) if replicas else None

    def engines_by_name(self) -> dict[str, Engine]:
        """Return the engine of each standby, by its name."""
        return {replica.name: replica._engine for replica in self._replicas}

    def fetch_all(
        self, statement: Executable, parameters: Mapping[str, Any], position: WalPosition | None
    ) -> Sequence[Any] | None:
        """Return the rows of a statement from a standby, or None if the primary must answer it.

        By position, the standby must have replayed `position`, if there is one.
        """
        for replica in self._replicas:
            replica.start_checks_if_stopped()
        usable = [replica for replica in self._replicas if replica.is_usable()]
        if not usable:
            return None
        required = position if self.reads == POSITION else None
        return random.choice(usable).fetch_all(statement, parameters, required)  # noqa: S311

    def dispose(self) -> None:
        for replica in self._replicas:
            replica.dispose()


def _commits_wait_for_all(standby_names: str) -> bool:
    """Return whether commits wait for all of `ANY n (a, b)`."""
    match = QUORUM.fullmatch(standby_names)
    return match is not None and int(match[1]) >= match[2].count(",") + 1


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
