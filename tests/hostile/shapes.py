"""Shapes of bytes that a server may read otherwise than others do, or than it should.

Behind each stand the answers to it: for every one the statuses that it may have. After the last
the server closes the connection, or it is half-closed already.
"""

HOST = b"Host: localhost\r\n"
END = b"Connection: close\r\n\r\n"
LIST = b"/api/v2/ingredients"
LIVE = b"GET /livez HTTP/1.1\r\n" + HOST
POST = b"POST " + LIST + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
BODY = b'{"name": "Mandrake"}'
CHUNKS = b"14\r\n" + BODY + b"\r\n0\r\n\r\n"
LAST = LIVE + END
# What must never be answered: a request within a body.
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
MIB = 1024 * 1024

# Statuses that the answers may have, one set for each. `REFUSED` closes the connection.
REFUSED = [{400}]
TOO_LONG = [{400, 414, 431}]
# Nothing that could be told apart from line noise came: it may be closed without a word.
SILENCE: list[set[int]] = [{0, 400}]
TAKEN = [{201}]
FINE = [{200}]

Expected = list[set[int]]
SHAPES: dict[str, tuple[bytes, Expected]] = {
    # Where a request ends.
    "Content-Length, then chunks": (
        POST + b"Content-Length: 20\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS + LAST,
        REFUSED,
    ),
    "chunks, then Content-Length": (
        CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
        REFUSED,
    ),
    "two lengths that differ": (
        POST + b"Content-Length: 0\r\nContent-Length: 20\r\n\r\n" + BODY,
        REFUSED,
    ),
    "two lengths that agree": (
        POST + b"Content-Length: 20\r\nContent-Length: 20\r\n\r\n" + BODY,
        REFUSED,
    ),
    "a list of lengths": (POST + b"Content-Length: 20, 20\r\n\r\n" + BODY, REFUSED),
    "a length with a sign": (POST + b"Content-Length: +20\r\n\r\n" + BODY, REFUSED),
    "a length in hexadecimal": (POST + b"Content-Length: 0x14\r\n\r\n" + BODY, REFUSED),
    "a length with an underscore": (POST + b"Content-Length: 2_0\r\n\r\n" + BODY, REFUSED),
    "a length with a fraction": (POST + b"Content-Length: 20.0\r\n\r\n" + BODY, REFUSED),
    "a length with an exponent": (POST + b"Content-Length: 2e1\r\n\r\n" + BODY, REFUSED),
    "a length with a superscript": (POST + b"Content-Length: \xb2\r\n\r\n" + BODY, REFUSED),
    "an empty length": (POST + b"Content-Length:\r\n\r\n" + BODY, REFUSED),
    "a length with leading zeros": (
        POST + b"Content-Length: 00020\r\nConnection: close\r\n\r\n" + BODY,
        [{201, 400}],
    ),
    "a length of 30 digits": (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", [{400, 413}]),
    "a length of 5,000 digits": (
        POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        [{400, 413}],
    ),
    "a length with a space before its colon": (
        POST + b"Content-Length : 20\r\n\r\n" + BODY,
        REFUSED,
    ),
    "a length behind a tab": (POST + b"Content-Length:\t20\r\n" + END + BODY, TAKEN),
    "a coding with a space before its colon": (
        POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
        REFUSED,
    ),
    "a coding on a folded line": (
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
        REFUSED,
    ),
    "a coding behind a vertical tab": (
        POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKS,
        REFUSED,
    ),
    "a coding in capitals": (POST + b"TRANSFER-ENCODING: CHUNKED\r\n" + END + CHUNKS, TAKEN),
    "a coding with a parameter": (
        POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + CHUNKS,
        [{400, 501}],
    ),
    "a coding with a prefix": (
        POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
        [{400, 501}],
    ),
    "a coding in quotes": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + CHUNKS, [{400, 501}]),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS, REFUSED),
    "two codings": (CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, REFUSED),
    "chunked, then identity": (
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS,
        REFUSED,
    ),
    "identity alone": (
        POST + b"Transfer-Encoding: identity\r\nContent-Length: 20\r\n\r\n" + BODY,
        REFUSED,
    ),
    "gzip alone": (POST + b"Transfer-Encoding: gzip\r\n\r\n" + BODY, REFUSED),
    "chunked, then gzip": (
        POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + CHUNKS,
        [{400, 501}],
    ),
    "an empty coding": (
        POST + b"Transfer-Encoding:\r\nContent-Length: 20\r\n\r\n" + BODY,
        [{400, 501}],
    ),
    "chunks in HTTP/1.0": (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n" + CHUNKS, REFUSED),
    "a coding with an underscore": (
        POST + b"Transfer_Encoding: chunked\r\nContent-Length: 20\r\n" + END + BODY,
        [{201, 400}],
    ),
    "a request inside of a body": (
        POST + f"Content-Length: {len(HIDDEN)}\r\n\r\n".encode() + HIDDEN + LAST,
        [{400}, {200}],
    ),
    "a request inside of a chunk": (
        CHUNKED + f"\r\n{len(HIDDEN):x}\r\n".encode() + HIDDEN + b"\r\n0\r\n\r\n" + LAST,
        [{400}, {200}],
    ),
    "a request inside of the body of a GET": (
        LIVE + f"Content-Length: {len(HIDDEN)}\r\n\r\n".encode() + HIDDEN + LAST,
        [{200}, {200}],
    ),
    "a body without a length": (POST + b"\r\n" + BODY + b"\r\n\r\n", [{400}, {400}]),
    "a line break behind a body": (
        POST + b"Content-Length: 20\r\n\r\n" + BODY + b"\r\n" + LAST,
        [*TAKEN, {200}],
    ),
    "garbage behind a body": (
        POST + b"Content-Length: 20\r\n\r\n" + BODY + b"garbage\r\n\r\n",
        [*TAKEN, {400}],
    ),
    # Chunks.
    "leading zeros of a chunk": (CHUNKED + END + b"00000014\r\n" + CHUNKS[4:], TAKEN),
    "a chunk of hexadecimal notation": (CHUNKED + b"\r\n0x14\r\n" + CHUNKS[4:], REFUSED),
    "a chunk with a sign": (CHUNKED + b"\r\n+14\r\n" + CHUNKS[4:], REFUSED),
    "a chunk behind a space": (CHUNKED + b"\r\n 14\r\n" + CHUNKS[4:], REFUSED),
    "a chunk before a space": (CHUNKED + b"\r\n14 \r\n" + CHUNKS[4:], REFUSED),
    "a chunk of 2 to the 64th and more": (
        CHUNKED + b"\r\n10000000000000014\r\n" + CHUNKS[4:],
        [{400, 413}],
    ),
    "a chunk of 10,000 digits": (
        CHUNKED + b"\r\n" + b"0" * 10_000 + b"14\r\n" + CHUNKS[4:],
        [{201, 400}],
    ),
    "a chunk without a size": (CHUNKED + b"\r\n\r\n" + CHUNKS[4:], REFUSED),
    "a chunk that is too short": (CHUNKED + b"\r\n10\r\n" + CHUNKS[4:], REFUSED),
    "a chunk that is too long": (CHUNKED + b"\r\n20\r\n" + CHUNKS[4:], REFUSED),
    "a chunk with a bare line feed": (CHUNKED + b"\r\n14\n" + BODY + b"\n0\n\n", REFUSED),
    "a chunk with an extension": (CHUNKED + END + b'14;a;b=c;d="e"\r\n' + CHUNKS[4:], TAKEN),
    "a chunk with a bad extension": (CHUNKED + b"\r\n14;a=\x00\r\n" + CHUNKS[4:], REFUSED),
    "a chunk with a line feed in its extension": (
        CHUNKED + b"\r\n14;\n" + HIDDEN + CHUNKS[4:],
        REFUSED,
    ),
    "a chunk with an extension of 100,000 bytes": (
        CHUNKED + b"\r\n14;" + b"a" * 100_000 + b"\r\n" + CHUNKS[4:],
        REFUSED,
    ),
    "10,000 chunks of one byte": (CHUNKED + END + b"1\r\n \r\n" * 10_000 + CHUNKS, TAKEN),
    "20,000 chunks of one byte": (CHUNKED + END + b"1\r\n \r\n" * 20_000 + CHUNKS, REFUSED),
    "chunks beyond the limit": (
        CHUNKED + b"\r\n" + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 17 + CHUNKS,
        [{413}],
    ),
    "no last chunk": (CHUNKED + b"\r\n" + CHUNKS[:-5], REFUSED),
    "no line behind the last chunk": (CHUNKED + b"\r\n" + CHUNKS[:-2], REFUSED),
    "a trailer": (CHUNKED + b"Trailer: X-A\r\n" + END + CHUNKS[:-2] + b"X-A: b\r\n\r\n", TAKEN),
    "a trailer that is a length": (
        CHUNKED + b"\r\n" + CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n",
        REFUSED,
    ),
    "a trailer that is a token": (
        CHUNKED + b"\r\n" + CHUNKS[:-2] + b"Authorization: Bearer a\r\n\r\n",
        REFUSED,
    ),
    "a trailer that is none": (CHUNKED + b"\r\n" + CHUNKS[:-2] + b"a\r\n\r\n", REFUSED),
    "a trailer with NUL": (CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X-A: \x00\r\n\r\n", REFUSED),
    "1,000 trailers": (
        CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X-A: b\r\n" * 1000 + b"\r\n",
        [{400, 431}],
    ),
    "a trailer of 2 MiB": (
        CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X-A: " + b"b" * 2 * MIB + b"\r\n\r\n",
        [{400, 431}],
    ),
    # The request line.
    "an empty line before": (b"\r\n" + LAST, FINE),
    "ten empty lines before": (b"\r\n" * 10 + LAST, [{200, 400}]),
    "a space before the method": (b" " + LAST, REFUSED),
    "two spaces": (LAST.replace(b" /livez ", b"  /livez ", 1), REFUSED),
    "tabs for spaces": (LAST.replace(b" /livez ", b"\t/livez\t", 1), REFUSED),
    "a space behind the version": (LAST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1 \r\n", 1), REFUSED),
    "no target": (b"GET HTTP/1.1\r\n" + HOST + b"\r\n", REFUSED),
    "an empty target": (b"GET  HTTP/1.1\r\n" + HOST + b"\r\n", REFUSED),
    "a target of two words": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", REFUSED),
    "a target of a word": (b"GET livez HTTP/1.1\r\n" + HOST + END, [{400, 404}]),
    "a target with NUL": (b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n", REFUSED),
    "a target in 8 bits": (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", REFUSED),
    "a target with a fragment": (b"GET /livez#a HTTP/1.1\r\n" + HOST + END, [{200, 400}]),
    "a target with a bare carriage return": (b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n", REFUSED),
    "an absolute target": (b"GET http://localhost/livez HTTP/1.1\r\n" + HOST + END, FINE),
    "an absolute target elsewhere": (
        b"GET http://evil.example/livez HTTP/1.1\r\n" + HOST + END,
        [{200, 400, 403, 404}],
    ),
    "an absolute target without a host": (
        b"GET http:///livez HTTP/1.1\r\n" + HOST + END,
        [{200, 400, 404}],
    ),
    "an absolute target with a broken address": (
        b"GET http://[::1/livez HTTP/1.1\r\n" + HOST + END,
        REFUSED,
    ),
    "an absolute target of another scheme": (
        b"GET file:///etc/passwd HTTP/1.1\r\n" + HOST + END,
        [{400, 404}],
    ),
    "an authority for a GET": (b"GET localhost:80 HTTP/1.1\r\n" + HOST + END, [{400, 404}]),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + END, [{400, 404, 405, 501}]),
    "CONNECT, and a tunnel": (
        b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
        [{400, 404, 405, 501}],
    ),
    "TRACE": (b"TRACE /livez HTTP/1.1\r\n" + HOST + b"X-Secret: a\r\n" + END, [{405, 501}]),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST + END, [{200, 204, 400, 404}]),
    "GET *": (b"GET * HTTP/1.1\r\n" + HOST + END, [{400, 404}]),
    "a target of 100,000 bytes": (
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        TOO_LONG,
    ),
    "a target of 100,000 bytes in the query": (
        b"GET /livez?" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        TOO_LONG,
    ),
    "a target that never ends": (b"GET /" + b"a" * 3 * MIB, TOO_LONG),
    "a method of 100,000 bytes": (b"A" * 100_000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", TOO_LONG),
    "a method in lower case": (b"get" + LAST[3:], [{400, 405, 501}]),
    "a method with a control character": (b"G\x01T" + LAST[3:], REFUSED),
    "a method in 8 bits": (b"G\xc9T" + LAST[3:], REFUSED),
    "HTTP/0.9": (b"GET /livez\r\n", REFUSED),
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\n\r\n", FINE),
    "HTTP/1.9": (LAST.replace(b"HTTP/1.1", b"HTTP/1.9", 1), [{200, 400, 505}]),
    "HTTP/2.0": (LAST.replace(b"HTTP/1.1", b"HTTP/2.0", 1), [{400, 505}]),
    "HTTP/1.10": (LAST.replace(b"HTTP/1.1", b"HTTP/1.10", 1), [{400, 505}]),
    "HTTP/1": (LAST.replace(b"HTTP/1.1", b"HTTP/1", 1), [{400, 505}]),
    "http/1.1": (LAST.replace(b"HTTP/1.1", b"http/1.1", 1), [{400, 505}]),
    "HTTPS/1.1": (LAST.replace(b"HTTP/1.1", b"HTTPS/1.1", 1), [{400, 505}]),
    "an answer": (b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n", [{400, 505}]),
    # Other languages.
    "the preface of HTTP/2": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        [{400, 505}],
    ),
    "TLS": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(160)), SILENCE),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n", SILENCE),
    "SMTP": (b"EHLO evil.example\r\nMAIL FROM:<a@evil.example>\r\n", SILENCE),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", SILENCE),
    "PostgreSQL": (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", SILENCE),
    "the PROXY protocol": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + LAST, REFUSED),
    "the PROXY protocol in binary": (
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x01" * 12 + LAST,
        SILENCE,
    ),
    "nothing": (b"", SILENCE),
    "a line break": (b"\r\n", SILENCE),
    "NUL": (b"\x00" * 1000, SILENCE),
    "every byte": (bytes(range(256)) * 50, SILENCE),
    "a method alone": (b"GET", SILENCE),
    "half of a head": (LIVE[:-4], SILENCE),
    "a head without its end": (LIVE, SILENCE),
    # Headers.
    "bare line feeds": (LAST.replace(b"\r\n", b"\n"), REFUSED),
    "one bare line feed": (LIVE + b"X-A: a\nX-B: b\r\n\r\n", REFUSED),
    "bare carriage returns": (LAST.replace(b"\r\n", b"\r"), SILENCE),
    "a bare carriage return in a value": (LIVE + b"X-A: a\rX-B: b\r\n\r\n", REFUSED),
    "no Host": (b"GET /livez HTTP/1.1\r\n" + END, REFUSED),
    "two Hosts": (LIVE + HOST + b"\r\n", REFUSED),
    "two Hosts that differ": (LIVE + b"Host: evil.example\r\n\r\n", REFUSED),
    "a Host with a space": (b"GET /livez HTTP/1.1\r\nHost: local host\r\n" + END, REFUSED),
    "a Host with a path": (b"GET /livez HTTP/1.1\r\nHost: localhost/a\r\n" + END, REFUSED),
    "a Host with a user": (b"GET /livez HTTP/1.1\r\nHost: a@localhost\r\n" + END, REFUSED),
    "a Host with a port that is none": (
        b"GET /livez HTTP/1.1\r\nHost: localhost:a\r\n" + END,
        REFUSED,
    ),
    "a Host in 8 bits": (b"GET /livez HTTP/1.1\r\nHost: \xff\r\n" + END, REFUSED),
    "a Host of two": (b"GET /livez HTTP/1.1\r\nHost: localhost, evil.example\r\n" + END, REFUSED),
    "a header without a name": (LIVE + b": a\r\n\r\n", REFUSED),
    "a header without a colon": (LIVE + b"a\r\n\r\n", REFUSED),
    "a header with a space before the colon": (LIVE + b"X-A : a\r\n\r\n", REFUSED),
    "a header that begins with a space": (
        b"GET /livez HTTP/1.1\r\n X-A: a\r\n" + HOST + b"\r\n",
        REFUSED,
    ),
    "a folded header": (LIVE + b"X-A: a\r\n\tb\r\n\r\n", REFUSED),
    "a header with NUL in its name": (LIVE + b"X-\x00A: a\r\n\r\n", REFUSED),
    "a header with NUL": (LIVE + b"X-A: \x00\r\n\r\n", REFUSED),
    "a header with DEL": (LIVE + b"X-A: \x7f\r\n\r\n", REFUSED),
    "a header with a name in 8 bits": (LIVE + b"X-\xff: a\r\n\r\n", REFUSED),
    "a header with a name in parentheses": (LIVE + b"X(A): a\r\n\r\n", REFUSED),
    "a header in 8 bits": (LIVE + b"X-A: \xff\r\n" + END, FINE),
    "a header of 100,000 bytes": (LIVE + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n", TOO_LONG),
    "a name of 100,000 bytes": (LIVE + b"X" * 100_000 + b": a\r\n\r\n", TOO_LONG),
    "100,000 headers": (LIVE + b"X-A: a\r\n" * 100_000 + b"\r\n", TOO_LONG),
    "headers that never end": (LIVE + b"X-A: a\r\n" * 300_000, TOO_LONG),
    "a header that never ends": (LIVE + b"X-A: " + b"a" * 3 * MIB, TOO_LONG),
    "50,000 empty headers": (LIVE + b"X-A:\r\n" * 50_000 + b"\r\n", TOO_LONG),
    # Expectations and upgrades.
    "an unknown expectation": (
        POST + b"Expect: 200-ok\r\nContent-Length: 20\r\n\r\n" + BODY,
        [{400, 417}],
    ),
    "100-continue without a body": (LIVE + b"Expect: 100-continue\r\n" + END, FINE),
    "100-continue in HTTP/1.0": (b"GET /livez HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", FINE),
    "100-continue for too much": (
        POST + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n",
        [{413}],
    ),
    "an upgrade to HTTP/2": (
        LIVE
        + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
        + b"Connection: Upgrade, HTTP2-Settings\r\n\r\n"
        + LAST,
        [{200}, {200}],
    ),
    "an upgrade to a web socket": (
        LIVE
        + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        + LAST,
        [{200, 400}, {200}],
    ),
    # Several requests.
    "three requests at once": (LIVE + b"\r\n" + LIVE + b"\r\n" + LAST, [{200}] * 3),
    "a hundred requests at once": ((LIVE + b"\r\n") * 99 + LAST, [{200}] * 100),
    "a request behind one that is refused": (LIVE + b"X-A : a\r\n\r\n" + HIDDEN, REFUSED),
    "a request behind one that closes": (LAST + HIDDEN, FINE),
    "a request behind one that finds nothing": (
        b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n" + LAST,
        [{404}, {200}],
    ),
    "a request behind a wrong media type": (
        POST.replace(b"json", b"xml") + b"Content-Length: 20\r\n\r\n" + BODY + LAST,
        [{415}, {200}],
    ),
    "a request behind a HEAD": (b"HEAD" + LIVE[3:] + b"\r\n" + LAST, [{200}, {200}]),
    "a body cut short": (POST + b"Content-Length: 100\r\n\r\n" + BODY, REFUSED),
}
