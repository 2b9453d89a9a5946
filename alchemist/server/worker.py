"""The worker: complete requests get a thread or wait for one, and excess requests get a 503."""

from contextlib import suppress
from typing import Any

from . import error_responses
from .clients import Clients
from .connection import Connection
from .event_loop import EventLoop
from .thread_pool import ThreadPool

# Queued requests per thread, and the seconds that each of them may wait.
QUEUE_PER_THREAD, QUEUE_TIMEOUT = 16, 1.0


class BufferingWorker(EventLoop):
    """The worker class that gunicorn.conf.py names."""

    # Whether this is the worker of `alchemist dev`.
    is_development = False
    # None if each client may have all threads.
    clients: Clients | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rejected: list[Connection] = []

    def init_process(self) -> None:
        """Serve until the worker stops; then finish the requests that have a thread."""
        try:
            super().init_process()
        finally:
            self.tpool.shutdown(wait=True)

    def get_thread_pool(self) -> ThreadPool:
        max_queued = QUEUE_PER_THREAD * self.cfg.threads
        return ThreadPool(self.cfg.threads, self._handle, self.unsent.has_room, max_queued)

    def enqueue_req(self, connection: Connection) -> None:
        connection.mark_dispatched()
        clients = self.clients.address_and_token_of(connection) if self.clients else ()
        if not self.tpool.submit(connection, clients):
            self._reject_unless_exempt(connection, "queue-full")

    def close_overdue_connections(self) -> None:
        super().close_overdue_connections()
        submitted_before = self.last_sweep - QUEUE_TIMEOUT
        for connection in self.tpool.remove_expired(submitted_before):
            self._reject_unless_exempt(connection, "queue-timeout")
        rejected, self.rejected = self.rejected, []
        for connection in rejected:
            self.flush_and_continue(connection)

    def _reject_unless_exempt(self, connection: Connection, reason: str) -> None:
        """Reject a request, unless it is a liveness probe or the preflight of a script.

        A process that fails the probe is restarted. A script sees the 503 to its request only if
        the preflight before it succeeds.
        """
        if connection.request.path == "/livez" or _is_preflight(connection.request):
            self._handle(connection)
        else:
            self.rejections[reason] += 1
            self._send_503(connection)

    def _send_503(self, connection: Connection) -> None:
        """Answer without a thread, and read no more from this client until the next sweep.

        Clients that repeat at once would otherwise take the time that the others need.
        """
        request = connection.request
        can_continue = self.alive and not request.should_close()
        connection.keep_alive = can_continue and connection.skip_unread_body()
        response = error_responses.logged_response_bytes(
            503,
            error_responses.OVERLOADED,
            request_head=connection.request_head,
            keep_alive=self.cfg.keepalive if connection.keep_alive else 0,
            include_body=request.method != "HEAD",
        )
        connection.buffered_socket.sendall(response)
        with suppress(OSError):
            connection.flush()
        self.rejected.append(connection)

    def _handle(self, connection: Connection) -> None:
        """Answer a request, in a thread."""
        request = connection.request
        try:
            keep_alive = self.handle_request(request, connection)
            connection.keep_alive = keep_alive and connection.skip_unread_body()
        except StopIteration:
            # The app failed in the middle of its response; gunicorn has logged that.
            pass
        except Exception as error:
            self.handle_error(request, connection.buffered_socket, connection.client, error)
        finally:
            self._flush_or_defer(connection)

    def _flush_or_defer(self, connection: Connection) -> None:
        """Send the response; wake the event loop only if that is not all."""
        try:
            is_done = connection.flush() and connection.keep_alive
        except OSError:
            # The event loop gets the same error, and closes the connection.
            is_done = False
        self.received.recount(connection)
        self.unsent.recount(connection)
        if not is_done:
            self.method_queue.defer(self.flush_and_continue, connection)
            return
        self.keep_alive(connection)
        if connection.is_paused or connection.buffered_socket.recv_buffer:
            self.method_queue.defer(self.resume, connection)


def _is_preflight(request: Any) -> bool:
    """Return whether a browser asks whether a script may send a request (Fetch §4.8)."""
    return request.method == "OPTIONS" and any(
        name == "ACCESS-CONTROL-REQUEST-METHOD" for name, _ in request.headers
    )
