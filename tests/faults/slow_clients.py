"""400 clients that send halves, trickle, or do not read, beside ordinary ones that ask in time."""

import random
import socket
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

from tests.faults.service import check, percentile, report, serving
from tests.servers import Gunicorn

CLIENTS, SECONDS, ASKING, PATIENCE = 400, 30, 4, 3.0
# What a rude client may take: its patience, once for the request and once for the answer, the
# time in which it may still read what it was told, and a second for the looks and the machine.
LONGEST = 2 * PATIENCE + 2 + 1
HOST = b"Host: localhost\r\nContent-Type: application/json\r\n"
POST = b"POST /api/v2/ingredients HTTP/1.1\r\n" + HOST
PAGE = b"GET /api/v2/ingredients?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n"
# What is sent at once, and then a byte a second.
KINDS = {
    "silent": b"",
    "half a head": b"GET /api/v2/ingredients HTTP/1.1\r\nHo",
    "a slow head": POST + b"X-Slow: ",
    "no body": POST + b"Content-Length: 1000\r\n\r\n",
    "a slow body": POST + b'Content-Length: 100000\r\n\r\n{"name": "',
    "a slow large body": POST + b"Content-Length: 1000000\r\n\r\n" + b" " * 100_000,
    "slow chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "a slow reader": PAGE * 200,
}
TRICKLE = {"a slow head", "a slow body", "a slow large body", "slow chunks"}


class Rude:
    """One connection after another, each of them held until the service ends it."""

    def __init__(self, port: int, kind: str, told: Counter[str], held: list[float]) -> None:
        self.port, self.kind, self.told, self.held = port, kind, told, held
        self.open()

    def open(self) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", self.port))
        self.socket.setblocking(False)
        self.since, self.sent_at = monotonic(), monotonic()
        with suppress(OSError):
            self.socket.send(KINDS[self.kind])

    def trickle(self, now: float) -> bool:
        """Return whether the connection still stands."""
        if self.kind in TRICKLE and now > self.sent_at + 1:
            self.sent_at = now
            with suppress(OSError):
                self.socket.send(b" ")
        if self.kind == "a slow reader":
            return True
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if data.startswith(b"HTTP/1.1 "):
            self.told[f"{self.kind}: {data[9:12].decode()}"] += 1
            return True
        if data:
            return True
        self.held.append(now - self.since)
        self.told[f"{self.kind}: closed"] += 1
        self.socket.close()
        return False


def be_rude(port: int, stop: Event, told: Counter[str], held: list[float]) -> None:
    kinds = list(KINDS)
    rude = [Rude(port, kinds[number % len(kinds)], told, held) for number in range(CLIENTS)]
    while not stop.wait(0.2):
        now = monotonic()
        for one in rude:
            if not one.trickle(now):
                one.open()
    held += [monotonic() - one.since for one in rude if one.kind != "a slow reader"]
    # Their sockets stay open, to see whether it is the service that ends them.
    deadline = monotonic() + LONGEST
    while established(port) and monotonic() < deadline:
        sleep(0.1)
    told["not ended by the service"] = established(port)
    for one in rude:
        one.socket.close()


def established(port: int) -> int:
    """Return how many connections the service has not closed."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


def ask(gunicorn: Gunicorn, path: str, stop: Event, seconds: list[float], bad: list[str]) -> None:
    """Ask some twenty times a second, on a new connection every time."""
    while not stop.is_set():
        started = monotonic()
        try:
            status = gunicorn.request("GET", path).status
        except OSError as error:
            bad.append(repr(error))
        else:
            seconds.append(monotonic() - started)
            if status != 200:
                bad.append(str(status))
        sleep(random.uniform(0.02, 0.08))


def main() -> None:
    stop, told, held = Event(), Counter[str](), list[float]()
    seconds, bad = list[float](), list[str]()
    with serving(*sys.argv[1:], ALCHEMIST_CLIENT_TIMEOUT=str(PATIENCE)) as (gunicorn, path):
        threads = [Thread(target=be_rude, args=(gunicorn.port, stop, told, held))]
        threads += [
            Thread(target=ask, args=(gunicorn, path, stop, seconds, bad)) for _ in range(ASKING)
        ]
        for thread in threads:
            thread.start()
        sleep(SECONDS)
        stop.set()
        for thread in threads:
            thread.join()
    for what, times in sorted(told.items()):
        print(f"  {what}: {times}")
    violations: list[str] = []
    late = percentile(seconds, 0.99) * 1000
    check(violations, f"{len(seconds)} ordinary requests, p99 {late:.0f} ms", late < 250)
    check(violations, f"ordinary requests that failed: {Counter(bad)}", not bad)
    check(violations, f"a rude one was held for {max(held):.1f} s at most", max(held) < LONGEST)
    left = told["not ended by the service"]
    check(violations, f"{left} connections outlived their time", not left)
    report(violations)


if __name__ == "__main__":
    main()
