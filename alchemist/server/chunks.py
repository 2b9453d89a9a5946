"""Scan of a chunked body for its end (RFC 9112 §7.1)."""

# Bytes of a line with the size of a chunk and its extensions.
MAX_LINE = 8192


class ChunkedScanner:
    """Finds the end of a chunked body; each call continues where the last one stopped.

    It decides only when a body goes to a thread. gunicorn's parser then reads the body: it rejects
    malformed chunks, and stops at the end of the buffer where this scanner was too lenient.
    """

    def __init__(self) -> None:
        self._offset = 0

    def is_complete(self, body: bytearray) -> bool:
        """Return whether the last chunk or a malformed one has arrived."""
        while (end := body.find(b"\r\n", self._offset, self._offset + MAX_LINE)) >= 0:
            size = _parse_size(body[self._offset : end])
            if size <= 0:
                # Trailers end with an empty line. Without trailers the CRLF of the size line is
                # the first half of that.
                return size < 0 or body.find(b"\r\n\r\n", end) >= 0
            self._offset = end + size + 4
        return len(body) > self._offset + MAX_LINE


def _parse_size(line: bytearray) -> int:
    """Return the chunk size of a line, or a negative number if it is malformed."""
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return -1
