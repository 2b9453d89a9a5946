"""400 clients that send half a request, send slowly, or do not read; and ordinary clients."""

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

CLIENTS, SECONDS, ORDINARY_CLIENTS, CLIENT_TIMEOUT = 400, 30, 4, 3.0
# How long a slow client may be connected: the timeout of the request and of the response, the time
# in which it may still read the error, and a second for the sweeps and the machine.
MAX_DURATION = 2 * CLIENT_TIMEOUT + 2 + 1
HOST = b"Host: localhost\r\nContent-Type: application/json\r\n"
POST = b"POST /api/v2/ingredients HTTP/1.1\r\n" + HOST
PAGE = b"GET /api/v2/ingredients?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n"
# What is sent first; those in TRICKLE then send a byte a second.
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


class SlowClient:
    """Opens a connection, waits until the service closes it, and opens the next client."""

    def __init__(
        self, port: int, kind: str, outcomes: Counter[str], durations: list[float]
    ) -> None:
        self.port, self.kind, self.outcomes, self.durations = port, kind, outcomes, durations
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
        """Send a byte if it is time; return whether the connection is still open."""
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
            self.outcomes[f"{self.kind}: {data[9:12].decode()}"] += 1
            return True
        if data:
            return True
        self.durations.append(now - self.since)
        self.outcomes[f"{self.kind}: closed"] += 1
        self.socket.close()
        return False


def run_slow_clients(
    port: int, stop: Event, outcomes: Counter[str], durations: list[float]
) -> None:
    kinds = list(KINDS)
    clients = [
        SlowClient(port, kinds[number % len(kinds)], outcomes, durations)
        for number in range(CLIENTS)
    ]
    while not stop.wait(0.2):
        now = monotonic()
        for client in clients:
            if not client.trickle(now):
                client.open()
    durations += [
        monotonic() - client.since for client in clients if client.kind != "a slow reader"
    ]
    # Keep the sockets open, to see whether the service closes them.
    deadline = monotonic() + MAX_DURATION
    while established(port) and monotonic() < deadline:
        sleep(0.1)
    outcomes["not closed by the service"] = established(port)
    for client in clients:
        client.socket.close()


def established(port: int) -> int:
    """Return how many connections the service has not closed."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


def send_requests(
    gunicorn: Gunicorn, path: str, stop: Event, seconds: list[float], bad: list[str]
) -> None:
    """Send some twenty requests a second, each on a new connection."""
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
    stop, outcomes, durations = Event(), Counter[str](), list[float]()
    seconds, bad = list[float](), list[str]()
    with serving(*sys.argv[1:], ALCHEMIST_CLIENT_TIMEOUT=str(CLIENT_TIMEOUT)) as (gunicorn, path):
        threads = [Thread(target=run_slow_clients, args=(gunicorn.port, stop, outcomes, durations))]
        threads += [
            Thread(target=send_requests, args=(gunicorn, path, stop, seconds, bad))
            for _ in range(ORDINARY_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        sleep(SECONDS)
        stop.set()
        for thread in threads:
            thread.join()
    for outcome, count in sorted(outcomes.items()):
        print(f"  {outcome}: {count}")
    violations: list[str] = []
    p99 = percentile(seconds, 0.99) * 1000
    check(violations, f"{len(seconds)} ordinary requests, p99 {p99:.0f} ms", p99 < 250)
    check(violations, f"ordinary requests that failed: {Counter(bad)}", not bad)
    check(
        violations,
        f"a slow client was connected for {max(durations):.1f} s at most",
        max(durations) < MAX_DURATION,
    )
    left = outcomes["not closed by the service"]
    check(violations, f"{left} connections were open for too long", not left)
    report(violations)


if __name__ == "__main__":
    main()
