"""Threads, and a queue of the connections that wait for one."""

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import NamedTuple

from .connection import Connection

log = logging.getLogger("gunicorn.error")


class Entry(NamedTuple):
    """A queued connection, and the clients that its request is from: an address, a token."""

    submitted_at: float
    connection: Connection
    clients: tuple[str, ...]


class ThreadPool:
    """Handles connections in the order in which they were submitted, while `may_continue` is set.

    A client gets at most half of the threads and half of the queue: its other connections wait,
    and those of other clients overtake them.

    An executor would make a future for each, which nobody needs: that costs 5 % of the throughput.
    """

    def __init__(
        self,
        threads: int,
        handle: Callable[[Connection], None],
        may_continue: Event,
        max_queued: int = 1024,
    ) -> None:
        self._handle, self._may_continue = handle, may_continue
        self._max_queued = max_queued
        self._max_threads = max(1, threads // 2)  # of one client
        self._queue: deque[Entry] = deque()
        # The connections that have got a thread, those of them that are done, and the seconds that
        # they were queued in all.
        self.started = self.finished = 0
        self.queued_seconds = 0.0
        # The threads that each client has.
        self._running: defaultdict[str, int] = defaultdict(int)
        self._lock = Lock()
        # True for each submitted connection, False for each thread that shall end.
        self._wakeups: SimpleQueue[bool] = SimpleQueue()
        # The wakeups for connections whose clients may have no more threads. A thread serves one of
        # them after each connection: other threads would find nothing to do.
        self._postponed = 0
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Return the number of queued connections."""
        return len(self._queue)

    def submit(self, connection: Connection, clients: tuple[str, ...] = ()) -> bool:
        """Queue the connection if there is room for it; return whether there is."""
        with self._lock:
            if self._is_full(clients):
                return False
            entry = Entry(monotonic(), connection, clients)
            self._queue.append(entry)
            if not self._may_run(entry):
                self._postponed += 1
                return True
        self._wakeups.put(True)
        return True

    def _is_full(self, clients: tuple[str, ...]) -> bool:
        """Return whether the queue, or the half of it that each client may have, is full."""
        half = self._max_queued // 2
        if len(self._queue) < half:
            return False
        queued = Counter(client for entry in self._queue for client in entry.clients)
        return len(self._queue) >= self._max_queued or any(queued[each] >= half for each in clients)

    def remove_expired(self, submitted_before: float) -> list[Connection]:
        """Remove the connections that were submitted before a time, and return them."""
        expired = []
        with self._lock:
            while self._queue and self._queue[0].submitted_at < submitted_before:
                expired.append(self._queue.popleft().connection)
        return expired

    def shutdown(self, *, wait: bool) -> None:
        """End the threads when the queue is empty; with `wait`, return after that."""
        self._may_continue.set()
        with self._lock:
            self._max_threads = len(self._threads)
            wakeups = [True] * self._postponed + [False] * len(self._threads)
            self._postponed = 0
        for wakeup in wakeups:
            self._wakeups.put(wakeup)
        for thread in self._threads if wait else ():
            thread.join()

    def _run(self) -> None:
        while self._wakeups.get():
            while self._handle_next_if_it_may_run():
                pass

    def _handle_next_if_it_may_run(self) -> bool:
        """Handle a connection, if there is one; return whether a postponed one may follow it."""
        self._may_continue.wait()
        entry = self._take_first_that_may_run()
        if entry is None:
            return False
        self._handle_logging_errors(entry.connection)
        return self._release_clients(entry)

    def _may_run(self, entry: Entry) -> bool:
        return all(self._running.get(client, 0) < self._max_threads for client in entry.clients)

    def _take_first_that_may_run(self) -> Entry | None:
        """Remove the first connection whose clients may have another thread, and return it."""
        with self._lock:
            for index, entry in enumerate(self._queue):
                if self._may_run(entry):
                    del self._queue[index]
                    self.started += 1
                    self.queued_seconds += monotonic() - entry.submitted_at
                    for client in entry.clients:
                        self._running[client] += 1
                    return entry
            self._postponed = min(self._postponed + 1, len(self._queue))
        return None

    def _release_clients(self, entry: Entry) -> bool:
        """Return the thread of these clients; return whether it shall serve a postponed wakeup."""
        with self._lock:
            self.finished += 1
            for client in entry.clients:
                self._running[client] -= 1
                if not self._running[client]:
                    del self._running[client]
            has_postponed = bool(self._postponed)
            self._postponed -= has_postponed
        return has_postponed

    def _handle_logging_errors(self, connection: Connection) -> None:
        try:
            self._handle(connection)
        except Exception:
            log.exception("A connection could not be served.")
