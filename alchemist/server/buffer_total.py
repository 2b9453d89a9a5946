"""The bytes that all connections of a worker buffer, and whether there is room for more."""

from collections.abc import Callable
from threading import Event, Lock

from .connection import Connection

# Bytes. While all connections have received more, a request that is larger than the second is
# rejected.
MAX_RECEIVED, SMALL_REQUEST = 32 * 1024 * 1024, 64 * 1024
# Bytes. While all responses have more to send, no thread begins another.
MAX_UNSENT = 64 * 1024 * 1024
# Bytes. Smaller changes of a connection are not counted: most messages are smaller than that.
MIN_CHANGE = 4096


class BufferTotal:
    """The total of one buffer of each connection; the event loop and threads update it."""

    def __init__(self, limit: int, measure: Callable[[Connection], int]) -> None:
        self._limit, self._measure = limit, measure
        self._lock = Lock()
        self._counted: dict[Connection, int] = {}
        self.bytes = 0
        # Set while the total is within the limit.
        self.has_room = Event()
        self.has_room.set()

    def recount(self, connection: Connection) -> None:
        """Count what a connection buffers now, if that has changed much since the last call."""
        size = self._measure(connection)
        if abs(size - self._counted.get(connection, 0)) >= MIN_CHANGE:
            self._set_size_and_flag_room(connection, size)

    def remove(self, connection: Connection) -> None:
        """Count nothing for a connection that is closed."""
        if connection in self._counted:
            self._set_size_and_flag_room(connection, 0)

    def _set_size_and_flag_room(self, connection: Connection, size: int) -> None:
        with self._lock:
            self.bytes -= self._counted.pop(connection, 0)
            if size >= MIN_CHANGE:
                self._counted[connection] = size
                self.bytes += size
            if self.bytes <= self._limit:
                self.has_room.set()
            else:
                self.has_room.clear()
