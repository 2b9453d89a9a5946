"""The worker: whole requests get threads, as many as there are, and the others are told to wait."""

from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from . import refusals
from .connection import Connection
from .poller import Poller

# Whole requests that wait, for each thread, and the seconds for which they do.
QUEUE, QUEUE_SECONDS = 16, 1.0


class Queued(NamedTuple):
    since: float
    future: Future[None]
    connection: Connection


class Worker(Poller):
    """What gunicorn is told to use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue: deque[Queued] = deque()
        self.refused: list[Connection] = []

    def enqueue_req(self, connection: Connection) -> None:
        connection.lend()
        if not self._is_overloaded():
            future = self.tpool.submit(self._serve, connection)
            self.queue.append(Queued(monotonic(), future, connection))
        else:
            self._turn_away(connection)

    def _is_overloaded(self) -> bool:
        while self.queue and (self.queue[0].future.running() or self.queue[0].future.done()):
            self.queue.popleft()
        return len(self.queue) >= int(QUEUE * self.cfg.threads)

    def look(self) -> None:
        super().look()
        while self.queue and self.queue[0].since < self.looked - QUEUE_SECONDS:
            late = self.queue.popleft()
            if late.future.cancel():
                self._turn_away(late.connection)
        refused, self.refused = self.refused, []
        for connection in refused:
            self.finish(connection)

    def _turn_away(self, connection: Connection) -> None:
        """Refuse what no thread can have, but for what waits for nothing.

        Whoever asks whether the process lives would end one that does not answer.
        """
        if connection.request.path == "/livez":
            self._serve(connection)
        else:
            self._refuse(connection)

    def _refuse(self, connection: Connection) -> None:
        """Answer 503 without a thread, and read no more of this client until the next look.

        Else those who repeat at once would take the time that others need.
        """
        request = connection.request
        connection.keeps = self.alive and not request.should_close() and connection.is_reusable()
        answer = refusals.response(
            503, refusals.OVERLOADED, keeps=connection.keeps, has_body=request.method != "HEAD"
        )
        connection.mailbox.sendall(answer)
        with suppress(OSError):
            connection.flush()
        self.refused.append(connection)

    def _serve(self, connection: Connection) -> None:
        """Answer a request, in a thread."""
        request = connection.request
        try:
            keeps = self.handle_request(request, connection)
            connection.keeps = keeps and connection.is_reusable()
        except StopIteration:
            # The app failed in the middle of its answer, and that is logged.
            pass
        except Exception as error:
            self.handle_error(request, connection.mailbox, connection.client, error)
        finally:
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        """Send what a thread leaves, without waking the poller if there is nothing left to do."""
        try:
            is_done = connection.flush() and connection.keeps
        except OSError:
            # The poller will find the same, and close.
            is_done = False
        if not is_done:
            self.method_queue.defer(self.finish, connection)
            return
        self.rest(connection)
        if connection.is_paused or connection.mailbox.arrived:
            self.method_queue.defer(self.resume, connection)
