"""Connections without a thread: they receive a request, send a response, or wait."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from selectors import EVENT_READ, EVENT_WRITE
from socket import SHUT_WR, socket
from time import monotonic
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from . import error_responses
from .buffer_total import MAX_RECEIVED, MAX_UNSENT, SMALL_REQUEST, BufferTotal
from .connection import RECV_SIZE, BadRequest, Connection
from .eviction import EvictionOrder
from .fair_accept import FairAcceptMixin

# Seconds between two searches for expired connections.
SWEEP_INTERVAL = 0.5
# Seconds for which a client may go on sending after the last response. If the connection was closed
# at once, the reset could overtake that response (RFC 9112 §9.6).
LINGERING_CLOSE_TIMEOUT = 2.0
# Seconds for which idle connections stay open longer than announced, and in all while the worker
# stops: a request may be on its way.
KEEPALIVE_MARGIN, STOP_KEEPALIVE_TIMEOUT = 1.0, 2.0
# Bytes a second: clients that read a large response faster have as long as they need.
MIN_READ_RATE = 512 * 1024


class EventLoop(FairAcceptMixin):
    """Receives requests and sends responses in one thread, which waits for all clients.

    Connections are used only in this thread, except while they are dispatched.
    """

    # Seconds for receiving a request, and for sending its response.
    client_timeout = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self.received = BufferTotal(MAX_RECEIVED, attrgetter("received_bytes"))
        self.unsent = BufferTotal(MAX_UNSENT, attrgetter("unsent_bytes"))
        self.eviction_order = EvictionOrder(self.connections)
        self.last_sweep = 0.0
        # The requests that no thread got, by the reason.
        self.rejections: Counter[str] = Counter()

    @classmethod
    def check_config(cls, cfg: Config, log: Logger) -> None:
        if cfg.is_ssl:
            raise ValueError("This worker speaks no TLS: a proxy should.")

    # gunicorn's loop calls these.

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(min(timeout, SWEEP_INTERVAL))

    def murder_keepalived(self, force: bool = False) -> None:
        if force:
            for connection in list(self.connections):
                self._close_and_log_unsent(connection)
        elif monotonic() > self.last_sweep + SWEEP_INTERVAL:
            self.last_sweep = monotonic()
            self.close_overdue_connections()

    def close_overdue_connections(self) -> None:
        """End the connections whose clients took too long."""
        expired = [each for each in self.connections if each.deadline < self.last_sweep]
        for connection in expired:
            self._end_expired_connection(connection)

    def stop_listening(self) -> None:
        super().stop_listening()
        deadline = monotonic() + STOP_KEEPALIVE_TIMEOUT
        for connection in self.connections:
            if connection.is_idle:
                connection.deadline = min(connection.deadline, deadline)

    # Opening and closing.

    def add_connection(self, client_socket: socket, address: Any, server: Any) -> None:
        connection = Connection(self.cfg, client_socket, address, server)
        connection.deadline = monotonic() + self.client_timeout
        self.connections.add(connection)
        self.publish_connection_count(len(self.connections))
        self._register(connection, EVENT_READ, self._receive_and_process)
        if self.nr_conns >= self.worker_connections:
            self.close_next_to_expire()

    def close_next_to_expire(self) -> None:
        if connection := self.eviction_order.pop():
            self._close_and_log_unsent(connection)

    def _register(
        self, connection: Connection, events: int, callback: Callable[[Connection], None]
    ) -> None:
        self._unregister(connection)
        connection.is_paused = False
        self.poller.register(
            connection.client_socket, events, partial(self._call_if_open, connection, callback)
        )

    def _call_if_open(
        self, connection: Connection, callback: Callable[[Connection], None], _: Any
    ) -> None:
        """Call back, unless an event of the same batch has closed the connection."""
        if connection in self.connections:
            callback(connection)

    def _unregister(self, connection: Connection) -> None:
        if connection.client_socket in self.poller.get_map():
            self.poller.unregister(connection.client_socket)

    def _close(self, connection: Connection) -> None:
        if connection in self.connections:
            self._unregister(connection)
            connection.client_socket.close()
            self.connections.remove(connection)
            self.received.remove(connection)
            self.unsent.remove(connection)
            self.publish_connection_count(len(self.connections))

    def _close_and_log_unsent(self, connection: Connection) -> None:
        """Close a connection whatever its client has not received yet, and log that."""
        if connection.unsent_bytes:
            message = "A response was cut: its client had not read %s bytes."
            self.log.error(message, connection.unsent_bytes)
        self._close(connection)

    def _lingering_close(self, connection: Connection) -> None:
        """Close a connection when its client has closed it too, or after a timeout."""
        connection.is_finishing = True
        connection.sock.recv_buffer.clear()
        self.received.remove(connection)
        connection.deadline = monotonic() + LINGERING_CLOSE_TIMEOUT
        try:
            connection.client_socket.shutdown(SHUT_WR)
        except OSError:
            connection.eof = True
        if connection.eof:
            self._close(connection)
        else:
            self._register(connection, EVENT_READ, self._discard_input)

    def _discard_input(self, connection: Connection) -> None:
        try:
            eof = not connection.client_socket.recv(RECV_SIZE)
        except BlockingIOError:
            return
        except OSError:
            eof = True
        if eof:
            self._close(connection)

    def _end_expired_connection(self, connection: Connection) -> None:
        if connection.is_finishing:
            self._close_and_log_unsent(connection)
        elif connection.is_idle:
            self._lingering_close(connection)
        else:
            self._send_error_and_close(connection, 408, reason="client-timeout")

    # Receiving requests.

    def _receive_and_process(self, connection: Connection) -> None:
        if connection.is_dispatched:
            self._pause(connection)
            return
        was_idle = connection.is_idle
        try:
            connection.receive()
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
        else:
            if was_idle and not connection.is_idle:
                connection.deadline = monotonic() + self.client_timeout
            self.received.recount(connection)
            self._process_input(connection)

    def _pause(self, connection: Connection) -> None:
        self._unregister(connection)
        connection.is_paused = True
        if not connection.is_dispatched:
            # Its thread finished meanwhile, and may have read `is_paused` before it was set.
            self.resume(connection)

    def resume(self, connection: Connection) -> None:
        """Go on with a connection that was paused, or that has more input in its buffer."""
        if connection in self.connections and not (
            connection.is_dispatched or connection.is_finishing
        ):
            if connection.is_paused:
                self._register(connection, EVENT_READ, self._receive_and_process)
            self._process_input(connection)

    def _process_input(self, connection: Connection) -> None:
        try:
            is_complete = connection.is_request_complete()
            connection.flush()
        except (StopIteration, OSError):
            self._close(connection)
        except BadRequest as error:
            self._send_error_and_close(connection, 400, str(error), reason="bad-request")
        except Exception as error:
            self.rejections["bad-request"] += 1
            self.handle_error(None, connection.buffered_socket, connection.client, error)
            self.flush_and_continue(connection)
        else:
            if is_complete:
                self.enqueue_req(connection)
            elif connection.received_bytes > SMALL_REQUEST and not self.received.has_room.is_set():
                detail = error_responses.OVERLOADED
                self._send_error_and_close(connection, 503, detail, reason="buffer-full")

    def _send_error_and_close(
        self, connection: Connection, status: int, detail: str = "", *, reason: str
    ) -> None:
        self.rejections[reason] += 1
        response = error_responses.logged_response_bytes(
            status, detail, request_head=connection.request_head
        )
        connection.buffered_socket.sendall(response)
        self.flush_and_continue(connection)

    # Sending responses.

    def keep_alive(self, connection: Connection) -> None:
        announced = self.cfg.keepalive + KEEPALIVE_MARGIN
        connection.keep_alive_for(announced if self.alive else STOP_KEEPALIVE_TIMEOUT)

    def flush_and_continue(self, connection: Connection) -> None:
        """Send the rest of a response as fast as the client reads it, then go on or close."""
        unsent_before = connection.unsent_bytes
        try:
            is_sent = connection.flush()
        except OSError:
            self._close(connection)
            return
        self.received.recount(connection)
        self.unsent.recount(connection)
        if is_sent and connection.keep_alive:
            self.keep_alive(connection)
            self._register(connection, EVENT_READ, self._receive_and_process)
            self._process_input(connection)
        elif is_sent:
            self._lingering_close(connection)
        elif connection.is_finishing:
            connection.deadline += (unsent_before - connection.unsent_bytes) / MIN_READ_RATE
        else:
            connection.is_finishing = True
            connection.deadline = monotonic() + self.client_timeout
            self._register(connection, EVENT_WRITE, self.flush_and_continue)
