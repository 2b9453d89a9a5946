"""gunicorn's threaded worker, as one of several that take turns to accept."""

import errno
from socket import socket
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from .connection_counts import NO_SLOT, ConnectionCount

# Seconds for which a worker that is ahead leaves a connection to the others, and those after which
# it has forgotten that it did.
YIELD_SECONDS, YIELD_COOLDOWN = 0.02, 0.1


class FairAcceptMixin(ThreadWorker):
    """Accepts when it has not clearly more connections than another worker.

    All of them wait for one listening socket, and the first to wake would take a whole burst.
    """

    sockets: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.share = ConnectionCount()
        self.yields_until = 0.0

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        self.count(self.nr_conns)
        yields = self.yields_until - monotonic()
        super().wait_for_and_dispatch_events(min(timeout, yields) if yields > 0 else timeout)

    def count(self, connections: int) -> None:
        self.nr_conns = connections
        self.share.tell(connections if self.alive else NO_SLOT)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled and monotonic() >= self.yields_until)
        if not self.alive:
            # It may have been told to stop in the same moment: nothing that is closed is watched.
            super().set_accept_enabled(False)
            self._stop_listening()

    def _stop_listening(self) -> None:
        """Accept those who are connected already, and nobody while this worker takes to stop."""
        listeners, self.sockets = self.sockets, []
        for listener in listeners:
            while self._admit(listener):
                pass
            listener.close()

    def accept(self, listener: Any) -> None:
        """Accept a connection, or leave it for a moment to the workers that have fewer.

        For a moment alone, for they may be busy, or stuck.
        """
        now = monotonic()
        if now > self.yields_until + YIELD_COOLDOWN and self.share.is_ahead():
            self.yields_until = now + YIELD_SECONDS
            self.set_accept_enabled(False)
        else:
            self.yields_until = 0.0
            self._admit(listener)

    def _admit(self, listener: Any) -> bool:
        """Return whether there was somebody to admit."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return False
        self.welcome(client, address, listener.getsockname())
        return True

    def make_room(self) -> None:
        """Close a connection."""
        raise NotImplementedError

    def welcome(self, client: socket, address: Any, server: Any) -> None:
        """Take care of a new connection."""
        raise NotImplementedError
