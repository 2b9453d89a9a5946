"""How far a chunked body has arrived (RFC 9112 §7.1)."""

# Bytes of a line that tells the size of a chunk, its extensions included.
MAX_LINE = 8192


class ChunkedScanner:
    """A look ahead that goes on where it stopped, so that slow senders cost no more than fast ones.

    It decides when a body is handed over, never what it says: that is for gunicorn's parser, which
    finds no more to read where this one has been too lenient, and refuses what it finds malformed.
    """

    def __init__(self) -> None:
        self._place = 0

    def end_in(self, data: bytearray) -> bool:
        """Return whether the last chunk has arrived, or a malformed one."""
        while (end := data.find(b"\r\n", self._place, self._place + MAX_LINE)) >= 0:
            size = _size(data[self._place : end])
            if size <= 0:
                # Trailers end with an empty line; without any, it ends the line of the size, too.
                return size < 0 or data.find(b"\r\n\r\n", end) >= 0
            self._place = end + size + 4
        return len(data) > self._place + MAX_LINE


def _size(line: bytearray) -> int:
    """Return the size that a line tells, or a negative number if it tells none."""
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return -1
