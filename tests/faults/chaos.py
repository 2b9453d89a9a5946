"""Faults: workers die, freeze and are replaced; PostgreSQL closes connections and crashes."""

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from alchemist.embedded import EmbeddedPostgres
from tests.faults.shop import Service

# Seconds between two faults.
INTERVAL = (0.2, 1.2)
CLOSE_CONNECTIONS = text("""
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'alchemist' AND random() < 0.5
""")


class Chaos:
    """Injects one fault after another; a seed decides which."""

    def __init__(
        self, seed: int, service: Service, server: EmbeddedPostgres, kill_file: Path
    ) -> None:
        self.random = random.Random(seed)
        self.service, self.server, self.kill_file = service, server, kill_file
        self.injected: Counter[str] = Counter()

    def inject_faults(self, seconds: float) -> None:
        deadline = monotonic() + seconds
        faults = [
            self.kill_a_worker,
            self.kill_after_commit,
            self.kill_after_commit,
            self.freeze_a_worker,
            self.reload,
            self.close_connections,
            self.crash_the_database,
        ]
        while monotonic() < deadline:
            fault = self.random.choice(faults)
            fault()
            self.injected[fault.__name__] += 1
            sleep(self.random.uniform(*INTERVAL))
        self.kill_file.unlink(missing_ok=True)

    def kill_a_worker(self) -> None:
        self._signal(signal.SIGKILL)

    def kill_after_commit(self) -> None:
        """Kill the next worker that commits, before it sends its response."""
        self.kill_file.touch()

    def freeze_a_worker(self) -> None:
        pid = self._signal(signal.SIGSTOP)
        sleep(self.random.uniform(0.2, 1.5))
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def reload(self) -> None:
        self.service.process.send_signal(signal.SIGHUP)

    def close_connections(self) -> None:
        engine = create_engine(self.server.url, poolclass=NullPool)
        with suppress(SQLAlchemyError), engine.begin() as connection:
            connection.execute(CLOSE_CONNECTIONS)

    def crash_the_database(self) -> None:
        """Stop PostgreSQL as a crash would, and let it recover."""
        process = self.server.process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        self.server.stop()
        sleep(self.random.uniform(0, 1))
        self.server.start()

    def _signal(self, signum: signal.Signals) -> int | None:
        workers = self.service.workers()
        if not workers:
            return None
        pid = self.random.choice(workers)
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
        return pid
