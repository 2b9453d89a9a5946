"""How many connections each worker has: a page of memory that they share."""

from mmap import mmap
from time import monotonic

# More than workers that live at once: 64, twice as many while they are replaced.
SLOTS = 256
# Seconds after which a worker that was not heard of has no share: it is dead, or stuck.
STALE_AFTER = 3.0

# When the worker of each place was last heard of, and its connections. An aligned number of eight
# bytes is written at once, so that nobody reads a half.
_page = memoryview(mmap(-1, 2 * SLOTS * 8)).cast("d")
_heartbeats, _connections = _page[:SLOTS], _page[SLOTS:]
NO_SLOT = -1


class ConnectionCount:
    """The place of one worker; to be made before the fork, by the process that forks them all."""

    def __init__(self) -> None:
        # The one that was silent for longest, which is nobody's, or a dead one's.
        self._place = min(range(SLOTS), key=_heartbeats.__getitem__)
        self.tell(NO_SLOT)

    def tell(self, connections: int) -> None:
        """Tell the others; a worker that does not accept has NONE."""
        _heartbeats[self._place], _connections[self._place] = monotonic(), connections

    def is_ahead(self) -> bool:
        """Return whether a worker that accepts, too, has clearly fewer connections."""
        since = monotonic() - STALE_AFTER
        mine = _connections[self._place]
        least = min(
            connections
            for heard, connections in zip(_heartbeats, _connections, strict=True)
            if heard > since and connections != NO_SLOT
        )
        return mine > least + 1 + least // 8
