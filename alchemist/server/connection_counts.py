"""The number of connections of each worker, in memory that all workers share."""

from mmap import mmap
from time import monotonic

# More than the workers that live at once: 64, twice as many while they are replaced.
SLOTS = 256
# Seconds without a heartbeat after which a worker is ignored: it is dead, or it hangs.
STALE_AFTER = 3.0

# Aligned numbers of eight bytes are written at once, so that no reader sees half of one.
_page = memoryview(mmap(-1, 2 * SLOTS * 8)).cast("d")
_heartbeats, _counts = _page[:SLOTS], _page[SLOTS:]
NOT_ACCEPTING = -1


class ConnectionCount:
    """The slot of one worker. The master process makes it, before it forks the worker."""

    def __init__(self) -> None:
        # The slot with the oldest heartbeat is unused, or its worker is dead.
        self._slot = min(range(SLOTS), key=_heartbeats.__getitem__)
        self.publish(NOT_ACCEPTING)

    def publish(self, connections: int) -> None:
        """Write the count, or NOT_ACCEPTING, for the other workers to read."""
        _heartbeats[self._slot], _counts[self._slot] = monotonic(), connections

    def has_clearly_more_than_others(self) -> bool:
        """Return whether another worker that accepts has clearly fewer connections."""
        oldest_heartbeat = monotonic() - STALE_AFTER
        lowest = min(
            count
            for heartbeat, count in zip(_heartbeats, _counts, strict=True)
            if heartbeat > oldest_heartbeat and count != NOT_ACCEPTING
        )
        return _counts[self._slot] > lowest + 1 + lowest // 8
