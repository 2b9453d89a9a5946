"""The worker: whole requests get threads, as many as there are, and the others are told to wait."""

from contextlib import suppress
from typing import Any

from . import error_responses
from .connection import Connection
from .event_loop import EventLoop
from .thread_pool import ThreadPool

# Whole requests that wait, for each thread, and the seconds for which they do.
QUEUE_PER_THREAD, QUEUE_TIMEOUT = 16, 1.0


class BufferingWorker(EventLoop):
    """What gunicorn is told to use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most = QUEUE_PER_THREAD * self.cfg.threads
        self.refused: list[Connection] = []

    def init_process(self) -> None:
        """Serve; however that ends, what has begun is answered first."""
        try:
            super().init_process()
        finally:
            self.tpool.shutdown(wait=True)

    def get_thread_pool(self) -> ThreadPool:
        return ThreadPool(self.cfg.threads, self._serve)

    def enqueue_req(self, connection: Connection) -> None:
        connection.lend()
        if len(self.tpool) < self.most:
            self.tpool.put(connection)
        else:
            self._turn_away(connection)

    def look(self) -> None:
        super().look()
        for connection in self.tpool.take_back(since=self.looked - QUEUE_TIMEOUT):
            self._turn_away(connection)
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
        answer = error_responses.response(
            503,
            error_responses.OVERLOADED,
            keeps=connection.keeps,
            has_body=request.method != "HEAD",
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
