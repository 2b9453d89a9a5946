"""Scan of a chunked body for its end (RFC 9112 §7.1)."""

# Bytes of a line with the size of a chunk and its extensions, and of all trailers.
MAX_LINE = MAX_TRAILERS = 8192
# gunicorn's parser copies its buffer for each chunk. 1 MiB needs chunks of 64 bytes at least.
MAX_CHUNKS = 16_384


class TooManyChunks(Exception):
    """A body is split into more chunks than this service reads."""


class ChunkedScanner:
    """Finds the end of a chunked body; each call continues where the last one stopped.

    It decides only when a body goes to a thread. gunicorn's parser then reads the body: it rejects
    malformed chunks, and stops at the end of the buffer where this scanner was too lenient.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._chunks = 0
        # Where the CRLF of the last chunk's size line begins.
        self._trailers_start = 0

    def is_complete(self, body: bytearray) -> bool:
        """Return whether the last chunk or a malformed one has arrived; raise TooManyChunks."""
        while not self._trailers_start:
            line_end = body.find(b"\r\n", self._offset, self._offset + MAX_LINE)
            if line_end < 0:
                return len(body) > self._offset + MAX_LINE
            size = _parse_chunk_size(body[self._offset : line_end])
            if size < 0:
                return True
            self._skip_chunk(line_end, size)
        return self._have_trailers_arrived(body)

    def _skip_chunk(self, line_end: int, size: int) -> None:
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise TooManyChunks
        if size:
            self._offset = line_end + size + 4
        else:
            self._trailers_start = self._offset = line_end

    def _have_trailers_arrived(self, body: bytearray) -> bool:
        """Return whether the trailers have arrived, or so many that they will be rejected.

        They end with an empty line. Without trailers the CRLF of the size line is its first half.
        """
        if body.find(b"\r\n\r\n", self._offset) >= 0:
            return True
        self._offset = max(self._trailers_start, len(body) - 3)
        return len(body) > self._trailers_start + MAX_TRAILERS


def _parse_chunk_size(line: bytearray) -> int:
    """Return the chunk size of a line, or a negative number if it is malformed."""
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return -1
