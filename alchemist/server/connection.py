"""One client: what has arrived of its requests, and what has yet to leave of the answers."""

from contextlib import suppress
from math import inf
from socket import socket
from time import monotonic
from typing import Any

from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import LimitRequestHeaders, NoMoreData, ParseException
from gunicorn.workers.gthread import TConn

from alchemist.api.request import MAX_BODY

from .chunks import ChunkedScanner

# Bytes. Above the largest head that the parser takes, and above a body in chunks of a fair size.
MAX_HEAD = 64 * 1024
MAX_CHUNKED = 2 * MAX_BODY
RECV_SIZE = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class IncompleteRequest(Exception):
    """A request whose client has stopped sending in the middle of it."""


class BufferedSocket:
    """What threads take for the socket: it gives what has arrived, and keeps what they send."""

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.leaving = bytearray()

    def recv(self, size: int) -> bytes:
        found = bytes(self.arrived[:size])
        del self.arrived[:size]
        return found

    def sendall(self, data: bytes) -> None:
        self.leaving += data

    def gettimeout(self) -> float:
        return 0.0

    def _ignore(self, *_: object) -> None:
        """Nothing here ever waits, and whose connection it is closes it."""

    settimeout = setblocking = shutdown = close = _ignore


class Connection(TConn):
    """Belongs to the poller, except while it is busy: then a thread has its request."""

    def __init__(self, cfg: Config, sock: socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.socket = sock
        self.sock = self.mailbox = BufferedSocket()
        self.parser = RequestParser(cfg, self.mailbox, client)
        self.request: Any = None
        self.chunks = ChunkedScanner()
        self.scanned = 0
        self.deadline = inf
        self.has_ended = False  # its client sends no more
        self.is_busy = False  # with a request
        self.is_paused = False  # and not watched
        self.is_leaving = False  # with an answer that takes its time, or for good
        self.keeps = False  # for another request after this one

    @property
    def held(self) -> int:
        return len(self.mailbox.arrived) + len(self.mailbox.leaving)

    @property
    def is_idle(self) -> bool:
        return not (self.is_busy or self.is_leaving or self.request or self.mailbox.arrived)

    def receive(self) -> None:
        """Take what is there; raise OSError if there is no connection any more."""
        data = self.socket.recv(RECV_SIZE)
        self.mailbox.arrived += data
        self.has_ended = not data

    def flush(self) -> bool:
        """Send what fits, and return whether that is all; raise OSError."""
        if self.mailbox.leaving:
            try:
                sent = self.socket.send(self.mailbox.leaving)
            except BlockingIOError:
                sent = 0
            del self.mailbox.leaving[:sent]
        return not self.mailbox.leaving

    def has_request(self) -> bool:
        """Return whether the next request can be answered.

        That is when it has arrived, or so much of it that it will be refused. Raises BrokenOff, or
        what the parser raises.
        """
        if self.request is None and self._has_head():
            self._parse_head()
        return self.request is not None and self._has_body(self.request)

    def _has_head(self) -> bool:
        arrived = self.mailbox.arrived
        # A bare LF is an error, and one that the parser tells.
        for end in (b"\r\n\r\n", b"\n\n"):
            if arrived.find(end, self.scanned) >= 0:
                return True
        self.scanned = max(0, len(arrived) - 3)
        return self.has_ended or len(arrived) > MAX_HEAD

    def _parse_head(self) -> None:
        try:
            self.request = next(self.parser)
        except NoMoreData as error:
            if self.has_ended:
                raise IncompleteRequest from error
            raise LimitRequestHeaders("They do not end.") from error
        self._take_back()
        self.chunks = ChunkedScanner()

    def _take_back(self) -> None:
        """Take back what the parser has read ahead."""
        self.mailbox.arrived[:0] = self.parser.unreader.take_buffered()
        self.scanned = 0

    def _has_body(self, request: Any) -> bool:
        arrived, reader = self.mailbox.arrived, request.body.reader
        if isinstance(reader, LengthReader):
            is_whole = len(arrived) >= reader.length
            is_too_large = reader.length > MAX_BODY
        else:
            is_whole = self.chunks.end_in(arrived)
            is_too_large = len(arrived) > MAX_CHUNKED
        if is_too_large and not is_whole:
            # What follows is the rest of this body, and must not become the next request.
            request.force_close()
            is_whole = True
        if self.has_ended and not is_whole:
            raise IncompleteRequest
        if request._expected_100_continue and not is_whole:
            self.mailbox.sendall(CONTINUE)
        # Said once, and not by gunicorn, which would say it to a client that has sent all.
        request._expected_100_continue = False
        return bool(is_whole)

    def lend(self) -> None:
        """Let a thread have the request."""
        self.is_busy, self.deadline = True, inf

    def is_reusable(self) -> bool:
        """Return whether the next request begins where this one ended, its body skipped."""
        body = self.parser.mesg.body
        with suppress(OSError, ParseException):
            body.read()
        return bool(not body.failed)

    def rest(self, seconds: float) -> None:
        """Be there for the next request, for a time."""
        self._take_back()
        self.request = None
        self.is_leaving = self.keeps = False
        self.deadline = monotonic() + seconds
        # Last, for from here on the poller may go on with it.
        self.is_busy = False
