"""Threads, and the requests that wait for one of them."""

import logging
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic

from .connection import Connection

log = logging.getLogger("gunicorn.error")


class ThreadPool:
    """Serves connections, those that came first before others.

    An executor would make a future of each: one request in twenty, and nobody asks for it.
    """

    def __init__(self, threads: int, serve: Callable[[Connection], None]) -> None:
        self._serve = serve
        self._waiting: deque[tuple[float, Connection]] = deque()
        self._lock = Lock()
        # One for each connection that was put here, and a false one for each thread that shall end.
        self._signals: SimpleQueue[bool] = SimpleQueue()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, connection: Connection) -> None:
        self._waiting.append((monotonic(), connection))
        self._signals.put(True)

    def take_back(self, since: float) -> list[Connection]:
        """Return those that wait since before, and no longer do."""
        late = []
        with self._lock:
            while self._waiting and self._waiting[0][0] < since:
                late.append(self._waiting.popleft()[1])
        return late

    def shutdown(self, *, wait: bool) -> None:
        """Let the threads end when nobody waits any more; if so asked, `wait` for them."""
        for _ in self._threads:
            self._signals.put(False)
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while self._signals.get():
            with self._lock:
                first = self._waiting.popleft() if self._waiting else None
            if first:
                self._serve_one(first[1])

    def _serve_one(self, connection: Connection) -> None:
        try:
            self._serve(connection)
        except Exception:
            log.exception("A connection could not be served.")
