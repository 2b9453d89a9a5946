"""Threads, and a queue of the connections that wait for one."""

import logging
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic

from .connection import Connection

log = logging.getLogger("gunicorn.error")


class ThreadPool:
    """Handles connections in the order in which they were submitted, while `may_continue` is set.

    An executor would make a future for each, which nobody needs: that costs 5 % of the throughput.
    """

    def __init__(
        self, threads: int, handle: Callable[[Connection], None], may_continue: Event
    ) -> None:
        self._handle, self._may_continue = handle, may_continue
        self._queue: deque[tuple[float, Connection]] = deque()
        self._lock = Lock()
        # True for each submitted connection, False for each thread that shall end.
        self._wakeups: SimpleQueue[bool] = SimpleQueue()
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Return the number of queued connections."""
        return len(self._queue)

    def submit(self, connection: Connection) -> None:
        self._queue.append((monotonic(), connection))
        self._wakeups.put(True)

    def remove_expired(self, submitted_before: float) -> list[Connection]:
        """Remove the connections that were submitted before a time, and return them."""
        expired = []
        with self._lock:
            while self._queue and self._queue[0][0] < submitted_before:
                expired.append(self._queue.popleft()[1])
        return expired

    def shutdown(self, *, wait: bool) -> None:
        """End the threads when the queue is empty; with `wait`, return after that."""
        self._may_continue.set()
        for _ in self._threads:
            self._wakeups.put(False)
        for thread in self._threads if wait else ():
            thread.join()

    def _run(self) -> None:
        while self._wakeups.get():
            self._may_continue.wait()
            with self._lock:
                entry = self._queue.popleft() if self._queue else None
            if entry:
                self._handle_logging_errors(entry[1])

    def _handle_logging_errors(self, connection: Connection) -> None:
        try:
            self._handle(connection)
        except Exception:
            log.exception("A connection could not be served.")
