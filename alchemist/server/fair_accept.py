"""gunicorn's threaded worker, with connections spread evenly over the workers."""

import errno
from socket import socket
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from .connection_counts import NOT_ACCEPTING, ConnectionCount

# Seconds for which a worker with too many connections stops accepting, and seconds after that in
# which it accepts whatever its count is.
YIELD_SECONDS, YIELD_COOLDOWN = 0.02, 0.1


class FairAcceptMixin(ThreadWorker):
    """Accepts unless it has clearly more connections than another worker.

    All workers wait for one listening socket, and the first to wake up would accept a whole burst.
    """

    sockets: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connection_count = ConnectionCount()
        self.yield_until = 0.0

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        self.publish_connection_count(self.nr_conns)
        yield_seconds = self.yield_until - monotonic()
        super().wait_for_and_dispatch_events(
            min(timeout, yield_seconds) if yield_seconds > 0 else timeout
        )

    def publish_connection_count(self, connections: int) -> None:
        self.nr_conns = connections
        self.connection_count.publish(connections if self.alive else NOT_ACCEPTING)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled and monotonic() >= self.yield_until)
        if not self.alive:
            # The stop signal may have arrived since the loop checked `alive`: closed listeners must
            # not be registered.
            super().set_accept_enabled(False)
            self.stop_listening()

    def stop_listening(self) -> None:
        """Accept the connections that are established, and none while this worker stops."""
        listeners, self.sockets = self.sockets, []
        for listener in listeners:
            while self._accept_one(listener):
                pass
            listener.close()

    def accept(self, listener: Any) -> None:
        """Accept a connection, or leave it to the workers that have fewer.

        Only for YIELD_SECONDS: the other workers may be busy or hang.
        """
        now = monotonic()
        if (
            now > self.yield_until + YIELD_COOLDOWN
            and self.connection_count.has_clearly_more_than_others()
        ):
            self.yield_until = now + YIELD_SECONDS
            self.set_accept_enabled(False)
        else:
            self.yield_until = 0.0
            self._accept_one(listener)

    def _accept_one(self, listener: Any) -> bool:
        """Return whether there was a connection to accept."""
        try:
            client_socket, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.close_next_to_expire()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return False
        self.add_connection(client_socket, address, listener.getsockname())
        return True

    def close_next_to_expire(self) -> None:
        """Close a connection."""
        raise NotImplementedError

    def add_connection(self, client_socket: socket, address: Any, server: Any) -> None:
        """Serve a new connection."""
        raise NotImplementedError
