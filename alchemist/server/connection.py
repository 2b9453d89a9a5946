"""A client connection with its receive and send buffers."""

import re
from contextlib import suppress
from math import inf
from socket import socket
from time import monotonic
from typing import Any

from gunicorn.config import Config
from gunicorn.http import RequestParser, message
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import (
    LimitRequestHeaders,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.wsgi import Response

from alchemist.api.request_body import MAX_BODY

from .chunks import MAX_CHUNKS, ChunkedScanner, TooManyChunks

# Bytes. Above the largest head that the parser accepts, and above a body of MAX_BODY in chunks of
# a reasonable size.
MAX_HEAD = 64 * 1024
MAX_CHUNKED = 2 * MAX_BODY
RECV_SIZE = 64 * 1024
# gunicorn joins repeated fields with commas, except those that it rejects (RFC 9110 §5.3). Joined,
# two idempotency keys would be one valid key.
message.RFC9110_5_3_SINGLETON_FIELDS |= {"AUTHORIZATION", "IDEMPOTENCY-KEY"}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Some clients send one after a body, to be ignored before the next request (RFC 9112 §2.2).
EMPTY_LINES = re.compile(rb"(?:\r\n)*")


class BadRequest(Exception):
    """A request that is rejected before it has arrived completely, with the reason."""


BROKE_OFF = "The request broke off."


class InMemorySocket:
    """A socket without a network: recv() reads one buffer, sendall() appends to another."""

    def __init__(self) -> None:
        self.recv_buffer = bytearray()
        self.send_buffer = bytearray()
        # Of the current request, with what follows it, for responses to what cannot be parsed.
        self.request_head = b""

    def recv(self, size: int) -> bytes:
        data = bytes(self.recv_buffer[:size])
        del self.recv_buffer[:size]
        return data

    def sendall(self, data: bytes) -> None:
        self.send_buffer += data

    def gettimeout(self) -> float:
        return 0.0

    def _noop(self, *_: object) -> None:
        """Buffers never block, and the event loop closes the real socket."""

    settimeout = setblocking = shutdown = close = _noop


class KeepAliveResponse(Response):
    """gunicorn's response, with the seconds that the connection stays open (Keep-Alive)."""

    def default_headers(self) -> list[str]:
        headers: list[str] = super().default_headers()
        if not self.should_close():
            headers.append(f"Keep-Alive: timeout={self.cfg.keepalive}\r\n")
        return headers


class Connection:
    """Only the event loop uses it, except while it is dispatched: then a thread does."""

    def __init__(self, cfg: Config, client_socket: socket, client: Any, server: Any) -> None:
        client_socket.setblocking(False)
        self.client_socket = client_socket
        # gunicorn's handle_request() reads `sock`, `client` and `server`, two addresses.
        self.sock = self.buffered_socket = InMemorySocket()
        self.client, self.server = client, server
        self.parser = RequestParser(cfg, self.buffered_socket, client)
        self.request: Any = None
        self.chunked_scanner = ChunkedScanner()
        self.scan_offset = 0
        self.deadline = inf
        self.eof = False
        self.is_dispatched = False
        self.is_paused = False  # not registered with the poller, while it is dispatched
        self.is_finishing = False  # sends a long response, or lingers before the close
        self.keep_alive = False

    @property
    def received_bytes(self) -> int:
        return len(self.buffered_socket.recv_buffer)

    @property
    def unsent_bytes(self) -> int:
        return len(self.buffered_socket.send_buffer)

    @property
    def request_head(self) -> bytes:
        """What has arrived of the head of the current request."""
        return self.sock.request_head or bytes(self.sock.recv_buffer[:MAX_HEAD])

    @property
    def is_idle(self) -> bool:
        return not (
            self.is_dispatched
            or self.is_finishing
            or self.request
            or self.buffered_socket.recv_buffer
        )

    def receive(self) -> None:
        """Read what has arrived; raise OSError if the connection is broken."""
        data = self.client_socket.recv(RECV_SIZE)
        self.buffered_socket.recv_buffer += data
        self.eof = not data
        if self.request is None:
            self._skip_empty_lines()

    def _skip_empty_lines(self) -> None:
        recv_buffer = self.buffered_socket.recv_buffer
        if recv_buffer.startswith(b"\r\n"):
            del recv_buffer[: EMPTY_LINES.match(recv_buffer).end()]  # type: ignore[union-attr]
            self.scan_offset = 0

    def flush(self) -> bool:
        """Send what the socket takes; return whether the send buffer is empty; raise OSError."""
        send_buffer = self.buffered_socket.send_buffer
        if send_buffer:
            try:
                sent = self.client_socket.send(send_buffer)
            except BlockingIOError:
                sent = 0
            del send_buffer[:sent]
        return not send_buffer

    def is_request_complete(self) -> bool:
        """Return whether the request is complete, or so large that it will be rejected.

        Raise BadRequest, or an error of the parser.
        """
        if self.request is None and self._can_parse_head():
            self._parse_head()
        return self.request is not None and self._is_body_complete_else_send_continue(self.request)

    def _can_parse_head(self) -> bool:
        recv_buffer = self.buffered_socket.recv_buffer
        # A bare LF is malformed: the parser rejects it.
        for head_end in (b"\r\n\r\n", b"\n\n"):
            if recv_buffer.find(head_end, self.scan_offset) >= 0:
                return True
        self.scan_offset = max(0, len(recv_buffer) - 3)
        return self.eof or len(recv_buffer) > MAX_HEAD

    def _parse_head(self) -> None:
        self.sock.request_head = self.request_head
        try:
            request = next(self.parser)
        except NoMoreData as error:
            if self.eof:
                raise BadRequest(BROKE_OFF) from error
            raise LimitRequestHeaders("They do not end.") from error
        _check_transfer_coding_and_honour_close(request)
        self.request = request
        self._return_read_ahead_to_buffer()
        self.chunked_scanner = ChunkedScanner()

    def _return_read_ahead_to_buffer(self) -> None:
        """Return to the receive buffer what the parser has read ahead."""
        self.buffered_socket.recv_buffer[:0] = self.parser.unreader.take_buffered()
        self.scan_offset = 0

    def _is_body_complete_else_send_continue(self, request: Any) -> bool:
        recv_buffer, reader = self.buffered_socket.recv_buffer, request.body.reader
        if isinstance(reader, LengthReader):
            is_complete = len(recv_buffer) >= reader.length
            is_too_large = reader.length > MAX_BODY
        else:
            is_complete = self._are_chunks_complete()
            is_too_large = len(recv_buffer) > MAX_CHUNKED
        if is_too_large and not is_complete:
            # The rest of this body follows, and must not be parsed as the next request.
            request.force_close()
            is_complete = True
        if self.eof and not is_complete:
            raise BadRequest(BROKE_OFF)
        if request._expected_100_continue and not is_complete:
            self.buffered_socket.sendall(CONTINUE)
        # gunicorn would send another one when the app reads the body, which has arrived by then.
        request._expected_100_continue = False
        return bool(is_complete)

    def _are_chunks_complete(self) -> bool:
        try:
            return self.chunked_scanner.is_complete(self.buffered_socket.recv_buffer)
        except TooManyChunks as error:
            raise BadRequest(f"The body has more than {MAX_CHUNKS:,} chunks.") from error

    def mark_dispatched(self) -> None:
        """Leave the connection to a thread."""
        self.is_dispatched, self.deadline = True, inf

    def skip_unread_body(self) -> bool:
        """Skip what is unread of the body; return whether the next request can be read."""
        with suppress(OSError, ParseException):
            return bool(self.parser.finish_body())
        return False

    def keep_alive_for(self, seconds: float) -> None:
        """Keep the connection open for the next request, for a time."""
        self._return_read_ahead_to_buffer()
        self._skip_empty_lines()
        self.request, self.sock.request_head = None, b""
        self.is_finishing = self.keep_alive = False
        self.deadline = monotonic() + seconds
        # At the end, because the event loop may use the connection from here on.
        self.is_dispatched = False


def _check_transfer_coding_and_honour_close(request: Any) -> None:
    """Raise UnsupportedTransferCoding, and close the connection afterwards if the client does.

    gunicorn passes compressed bodies on as they are, and compares the whole Connection header.
    """
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING" and _lowercase_list_members(value) != {"chunked"}:
            raise UnsupportedTransferCoding(value)
        if name == "CONNECTION" and "close" in _lowercase_list_members(value):
            request.force_close()


def _lowercase_list_members(value: str) -> set[str]:
    """Return the lower-case members of a list (RFC 9110 §5.6.1)."""
    return {token.strip(" \t").lower() for token in value.split(",")} - {""}
