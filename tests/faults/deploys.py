"""20,000 requests on kept-alive connections while workers are replaced, and a stop at the end.

A request has failed if its client cannot know whether it was served: any response but a 200, or a
broken connection. A connection that is refused is no failure: nothing was sent. A client may repeat
a request once, if a connection that had served others was closed without a byte of a response
(RFC 9112 §9.3.1).
"""

import signal
import sys
from collections import Counter
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from threading import Event, Thread
from time import sleep

from tests.faults.service import check, report, serving
from tests.servers import Gunicorn

REQUESTS, CLIENTS, WORKERS, MAX_REQUESTS = 20_000, 8, 2, 2_000


class Client(Thread):
    """Sends requests until it is stopped, and counts the outcomes."""

    def __init__(self, port: int, path: str, stop: Event) -> None:
        super().__init__()
        self.port, self.path, self.stop = port, path, stop
        self.counts: Counter[str] = Counter()
        self.connection = self._connect()

    def _connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=20)

    def run(self) -> None:
        while not self.stop.is_set():
            self._send_and_repeat_once()

    def _send_and_repeat_once(self) -> None:
        is_used = self.connection.sock is not None
        try:
            self._exchange()
        except (RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.connection.close()
            if is_used:
                self.counts[f"repeated after {type(error).__name__}"] += 1
                self._repeat()
            else:
                self.counts[f"failed: {error!r}"] += 1
        except ConnectionRefusedError:
            self.connection.close()
            self.counts["not connected"] += 1
            self.stop.wait(0.01)
        except OSError as error:
            self.connection.close()
            self.counts[f"failed: {error!r}"] += 1

    def _repeat(self) -> None:
        try:
            self._exchange()
        except ConnectionRefusedError:
            self.connection.close()
            self.counts["not connected"] += 1
        except OSError as error:
            self.connection.close()
            self.counts[f"failed: {error!r}"] += 1

    def _exchange(self) -> None:
        self.connection.request("GET", self.path)
        response = self.connection.getresponse()
        response.read()
        self.counts["answered" if response.status == 200 else f"failed: {response.status}"] += 1
        if response.will_close:
            self.counts["asked to reconnect"] += 1


def workers(master: int) -> set[str]:
    return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())


def load(gunicorn: Gunicorn, path: str, reload: bool) -> Counter[str]:
    """Send 20,000 requests; with `reload`, send a SIGHUP whenever all workers are new."""
    stop = Event()
    clients = [Client(gunicorn.port, path, stop) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    old, seen = set[str](), set[str]()
    while sum(client.counts["answered"] for client in clients) < REQUESTS:
        now = workers(gunicorn.process.pid)
        seen |= now
        if reload and len(now) == WORKERS and not now & old:
            gunicorn.process.send_signal(signal.SIGHUP)
            old = now
        sleep(0.05)
    stop.set()
    for client in clients:
        client.join()
    counts = sum((client.counts for client in clients), Counter[str]())
    counts["workers"] = len(seen)
    return counts


def print_and_check(name: str, counts: Counter[str], violations: list[str]) -> None:
    failed = {kind: count for kind, count in counts.items() if kind.startswith("failed")}
    for kind, count in sorted(counts.items()):
        print(f"  {kind}: {count}")
    check(violations, f"{name}: {failed or 'none'} of {counts['answered']} failed", not failed)
    if name != "SIGTERM":
        check(violations, f"{name}: {counts['workers']} workers", counts["workers"] > WORKERS)


def terminate(gunicorn: Gunicorn, path: str) -> Counter[str]:
    """Stop the service under load: clients get their response, or a request to reconnect."""
    stop = Event()
    clients = [Client(gunicorn.port, path, stop) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    sleep(2)
    gunicorn.process.send_signal(signal.SIGTERM)
    gunicorn.process.wait(20)
    stop.set()
    for client in clients:
        client.join()
    return sum((client.counts for client in clients), Counter[str]())


def main() -> None:
    violations: list[str] = []
    with serving(*sys.argv[1:], ALCHEMIST_WORKERS=str(WORKERS)) as (gunicorn, path):
        print_and_check("SIGHUP", load(gunicorn, path, reload=True), violations)
        print_and_check("SIGTERM", terminate(gunicorn, path), violations)
    options = (f"--max-requests={MAX_REQUESTS}", "--max-requests-jitter=500")
    with serving(*sys.argv[1:], *options, ALCHEMIST_WORKERS=str(WORKERS)) as (gunicorn, path):
        print_and_check("max_requests", load(gunicorn, path, reload=False), violations)
    report(violations)


if __name__ == "__main__":
    main()
