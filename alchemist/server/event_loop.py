"""Connections that need no thread, however slow their clients."""

from collections.abc import Callable
from functools import partial
from math import inf
from selectors import EVENT_READ, EVENT_WRITE
from socket import SHUT_WR, socket
from time import monotonic
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from . import error_responses
from .connection import RECV_SIZE, Connection, IncompleteRequest
from .fair_accept import FairAcceptMixin

# Seconds between two looks at what has waited too long.
SWEEP_INTERVAL = 0.5
# Seconds for which a client that was told all may go on sending before it is cut off: at once,
# the cut could overtake what it was told (RFC 9112 §9.6).
LINGERING_CLOSE_TIMEOUT = 2.0
# Bytes that one connection may hold whatever the others do, and that all of them may together.
CONNECTION_BUFFER, TOTAL_BUFFER = 64 * 1024, 32 * 1024 * 1024


class EventLoop(FairAcceptMixin):
    """Reads requests and sends answers in the one thread that waits for all of the clients.

    Whatever happens to a connection happens there, except while it is busy.
    """

    # Seconds in which a request must arrive, and in which its answer must be taken.
    patience = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self.looked = self.notified = 0.0
        self.has_parent = True

    @classmethod
    def check_config(cls, cfg: Config, log: Logger) -> None:
        if cfg.is_ssl:
            raise ValueError("This worker speaks no TLS: a proxy should.")

    # The loop is gunicorn's, and calls these.

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(min(timeout, SWEEP_INTERVAL))

    # Both are a system call, and the loop runs for every request.

    def notify(self) -> None:
        if monotonic() > self.notified + 1:
            self.notified = monotonic()
            self.has_parent = super().is_parent_alive()
            super().notify()

    def is_parent_alive(self) -> bool:
        return self.has_parent

    def murder_keepalived(self, force: bool = False) -> None:
        if force:
            for connection in list(self.connections):
                self._close(connection)
        elif monotonic() > self.looked + SWEEP_INTERVAL:
            self.looked = monotonic()
            self.look()

    def look(self) -> None:
        """End what has waited too long for its client."""
        for connection in [one for one in self.connections if one.deadline < self.looked]:
            self._expire(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        for connection in self.connections:
            if connection.is_idle:
                connection.deadline = min(connection.deadline, deadline)

    # Connections come and go.

    def welcome(self, client: socket, address: Any, server: Any) -> None:
        connection = Connection(self.cfg, client, address, server)
        connection.deadline = monotonic() + self.patience
        self.connections.add(connection)
        self.count(len(self.connections))
        self._watch(connection, EVENT_READ, self._read)
        if self.nr_conns >= self.worker_connections:
            self.make_room()

    def make_room(self) -> None:
        """Close what would be closed soonest: it has waited for its client for longest."""
        soonest = min(self.connections, key=lambda one: one.deadline, default=None)
        if soonest and soonest.deadline < inf:
            self._close(soonest)

    def _watch(self, connection: Connection, events: int, act: Callable[..., None]) -> None:
        self._ignore(connection)
        connection.is_paused = False
        self.poller.register(connection.socket, events, partial(self._act, connection, act))

    def _act(self, connection: Connection, act: Callable[..., None], _: Any) -> None:
        """Do what is watched for, unless the connection was closed in the same moment."""
        if connection in self.connections:
            act(connection)

    def _ignore(self, connection: Connection) -> None:
        if connection.socket in self.poller.get_map():
            self.poller.unregister(connection.socket)

    def _close(self, connection: Connection) -> None:
        if connection in self.connections:
            self._ignore(connection)
            connection.socket.close()
            self.connections.remove(connection)
            self.count(len(self.connections))

    def _linger(self, connection: Connection) -> None:
        """Close a connection, as soon as its client knows that or has had the time to."""
        connection.is_leaving = True
        connection.deadline = monotonic() + LINGERING_CLOSE_TIMEOUT
        try:
            connection.socket.shutdown(SHUT_WR)
        except OSError:
            connection.has_ended = True
        if connection.has_ended:
            self._close(connection)
        else:
            self._watch(connection, EVENT_READ, self._discard)

    def _discard(self, connection: Connection) -> None:
        try:
            has_ended = not connection.socket.recv(RECV_SIZE)
        except BlockingIOError:
            return
        except OSError:
            has_ended = True
        if has_ended:
            self._close(connection)

    def _expire(self, connection: Connection) -> None:
        if connection.is_leaving:
            self._close(connection)
        elif connection.is_idle:
            self._linger(connection)
        else:
            self._refuse_and_close(connection, 408)

    # Requests arrive.

    def _read(self, connection: Connection) -> None:
        if connection.is_busy:
            self._pause(connection)
            return
        if connection.is_idle:
            connection.deadline = monotonic() + self.patience
        try:
            connection.receive()
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
        else:
            self._go_on(connection)

    def _pause(self, connection: Connection) -> None:
        self._ignore(connection)
        connection.is_paused = True
        if not connection.is_busy:
            # Its thread was done in between, and may not have seen that it is paused.
            self.resume(connection)

    def resume(self, connection: Connection) -> None:
        """Go on with a connection that has rested since it was paused, or since more arrived."""
        if connection in self.connections and not (connection.is_busy or connection.is_leaving):
            if connection.is_paused:
                self._watch(connection, EVENT_READ, self._read)
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        try:
            has_request = connection.has_request()
            connection.flush()
        except (StopIteration, OSError):
            self._close(connection)
        except IncompleteRequest:
            self._refuse_and_close(connection, 400, "The request broke off.")
        except Exception as error:
            self.handle_error(None, connection.mailbox, connection.client, error)
            self.finish(connection)
        else:
            if has_request:
                self.enqueue_req(connection)
            elif self._holds_too_much(connection):
                self._refuse_and_close(connection, 503, error_responses.OVERLOADED)

    def _holds_too_much(self, connection: Connection) -> bool:
        return (
            connection.held > CONNECTION_BUFFER
            and sum(one.held for one in self.connections) > TOTAL_BUFFER
        )

    def _refuse_and_close(self, connection: Connection, status: int, detail: str = "") -> None:
        connection.mailbox.sendall(error_responses.response(status, detail))
        self.finish(connection)

    # Answers leave.

    def rest(self, connection: Connection) -> None:
        connection.rest(self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)

    def finish(self, connection: Connection) -> None:
        """Send what is left, as slowly as it is taken, and then go on or close."""
        try:
            is_sent = connection.flush()
        except OSError:
            self._close(connection)
            return
        if is_sent and connection.keeps:
            self.rest(connection)
            self._watch(connection, EVENT_READ, self._read)
            self._go_on(connection)
        elif is_sent:
            self._linger(connection)
        elif self._holds_too_much(connection):
            self._close(connection)
        elif not connection.is_leaving:
            connection.is_leaving = True
            connection.deadline = monotonic() + self.patience
            self._watch(connection, EVENT_WRITE, self.finish)
