"""Slow and abusive clients of nginx, as the Dockerfile configures it, beside ordinary ones.

    python -m tests.faults.slow_proxy_clients [--seconds 20]

From one address each: 1,020 bodies at 250 bytes a second, 262 bodies that stop before their last
byte, 500 heads that do not end, 100 clients that do not read, and a flood of requests. Exits with 1
if a request of an ordinary client fails or is late, if a body lasts too long, or if nginx fills its
temporary files. A second nginx with a service of its own is not attacked: what is late is what is
late in comparison with it, so that a busy machine changes nothing.
"""

import argparse
import asyncio
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from multiprocessing import Process, Queue
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

from tests.faults.bursts import workers
from tests.faults.service import check, percentile, report, serving
from tests.nginx import Nginx, serving_nginx
from tests.servers import TIMEOUT

ORDINARY_CLIENTS = 4
# How many times as long as without an attack an ordinary request may take, at the 99th percentile,
# unless it takes less than so many seconds.
MAX_RATIO, SHORT_TIME = 5, 0.5
# Seconds: a body that does not end. The service allows ALCHEMIST_CLIENT_TIMEOUT for that; the rest
# is for the sweep. Delays of the machine come on top.
CLIENT_TIMEOUT, MAX_BODY_TIME = 3, 3 + 3
# MiB of nginx's temporary files, which are in a tmpfs of 256 MiB.
MAX_FILES = 64
HEADERS = b"Host: localhost\r\nContent-Type: application/json\r\n"
POST = b"POST /api/v2/ingredients HTTP/1.1\r\n" + HEADERS
GET = b"GET /api/v2/ingredients?limit=%d HTTP/1.1\r\n" + HEADERS + b"\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def send_slowly(streams: Streams, opening: bytes, part: bytes) -> bytes:
    """Send a part every second until there is an answer; return that."""
    reader, writer = streams
    writer.write(opening)
    while True:
        with suppress(TimeoutError):
            return await asyncio.wait_for(reader.read(4096), 1)
        writer.write(part)


async def slow_body(streams: Streams) -> bytes:
    return await send_slowly(streams, POST + b"Content-Length: 100000\r\n\r\n", b" " * 250)


async def held_body(streams: Streams) -> bytes:
    body = b"Content-Length: 1048576\r\n\r\n" + b" " * 1048575
    return await send_slowly(streams, POST + body, b"")


async def slow_head(streams: Streams) -> bytes:
    return await send_slowly(streams, GET[:-2] % 1 + b"X-Slow: ", b"a")


async def no_reading(streams: Streams) -> bytes:
    streams[1].write(GET % 200 * 20)
    await asyncio.sleep(MAX_BODY_TIME)
    return b""


async def flood(streams: Streams) -> bytes:
    streams[1].write(GET % 1)
    return await streams[0].read(4096)


# Each from an address of its own, with so many connections at once.
ATTACKS: dict[Callable[[Streams], Awaitable[bytes]], int] = {
    slow_body: 1020,
    held_body: 262,
    slow_head: 500,
    no_reading: 100,
    flood: 20,
}


async def repeat(
    attack: Callable[[Streams], Awaitable[bytes]],
    port: int,
    source: str,
    answers: Counter[str],
    seconds: list[float],
) -> None:
    """Attack on one connection after the other."""
    while True:
        started = monotonic()
        writer = None
        data = b""
        try:
            streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            writer = streams[1]
            data = await attack(streams)
        except OSError:
            pass
        finally:
            if writer:
                writer.transport.abort()
        status = data[9:12].decode() if data.startswith(b"HTTP/1.1 ") else "closed"
        answers[f"{attack.__name__}: {status}"] += 1
        if attack is slow_body:
            seconds.append(monotonic() - started)
        await asyncio.sleep(0.1)


async def measure_delays(delays: list[float]) -> None:
    """Note by how many seconds this process wakes up too late."""
    while True:
        started = monotonic()
        await asyncio.sleep(0.1)
        delays.append(monotonic() - started - 0.1)


async def attack_all(port: int, duration: float, results: Any) -> None:
    """Attack until this process is killed; report the answers after a time."""
    answers, seconds, delays = Counter[str](), [0.0], [0.0]
    observer = asyncio.create_task(measure_delays(delays))
    tasks = [
        asyncio.create_task(repeat(attack, port, f"127.0.1.{number}", answers, seconds))
        for number, (attack, connections) in enumerate(ATTACKS.items(), 1)
        for _ in range(connections)
    ]
    await asyncio.sleep(duration)
    results.put((answers, max(seconds), max(delays)))
    await asyncio.wait([observer, *tasks], timeout=TIMEOUT)


def run_attacks(port: int, duration: float, results: Any) -> None:
    asyncio.run(attack_all(port, duration, results))


class OrdinaryClients:
    """Request some twenty times a second each, on a new connection each time."""

    def __init__(self, port: int, stop: Event) -> None:
        self.seconds = list[float]()
        self.failures = Counter[str]()
        self._port, self._stop = port, stop
        self.threads = [Thread(target=self._run) for _ in range(ORDINARY_CLIENTS)]

    def _run(self) -> None:
        while not self._stop.wait(random.uniform(0.02, 0.08)):
            started = monotonic()
            with closing(HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)) as connection:
                try:
                    connection.request("GET", "/api/v2/ingredients?limit=1")
                    status = connection.getresponse().status
                except (OSError, HTTPException) as error:
                    self.failures[repr(error)] += 1
                else:
                    self.seconds.append(monotonic() - started)
                    if status != 200:
                        self.failures[str(status)] += 1

    @property
    def p99(self) -> float:
        return percentile(self.seconds, 0.99)

    def __str__(self) -> str:
        failures = dict(self.failures)
        return f"{len(self.seconds)} requests, p99 {self.p99 * 1000:.0f} ms, failures: {failures}"


def watch_files(master: int, stop: Event, sizes: list[float]) -> None:
    """Note the MiB of nginx's temporary files. It deletes them when it opens them."""
    while not stop.wait(0.1):
        descriptors = [fd for pid in workers(master) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        total = 0
        for descriptor in descriptors:
            with suppress(OSError):
                if str(descriptor.readlink()).endswith("(deleted)"):
                    total += descriptor.stat().st_size
        sizes.append(total / 1024 / 1024)


@contextmanager
def serving_behind_nginx(nginx: str) -> Iterator[Nginx]:
    """Yield an nginx in front of a service, as in production."""
    environment = {
        "ALCHEMIST_OPEN_ACCESS": "false",
        "ALCHEMIST_TRUSTED_PROXIES": "unix",
        "ALCHEMIST_CLIENT_TIMEOUT": str(CLIENT_TIMEOUT),
    }
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(sockets=[f"unix:{directory}/http.sock"], **environment),
        serving_nginx(nginx, Path(directory)) as proxy,
    ):
        yield proxy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    duration = parser.parse_args().seconds
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert nginx, "nginx is not installed"
    stop, sizes, results = Event(), list[float](), Queue()
    with serving_behind_nginx(nginx) as attacked, serving_behind_nginx(nginx) as undisturbed:
        clients = OrdinaryClients(attacked.port, stop)
        others = OrdinaryClients(undisturbed.port, stop)
        watcher = Thread(target=watch_files, args=(attacked.pid, stop, sizes))
        threads = [*clients.threads, *others.threads, watcher]
        attackers = Process(
            target=run_attacks, args=(attacked.port, duration, results), daemon=True
        )
        attackers.start()
        for thread in threads:
            thread.start()
        try:
            answers, longest, delay = results.get(timeout=duration + TIMEOUT)
        finally:
            stop.set()
            attackers.kill()
        for thread in threads:
            thread.join()
    for name, count in sorted(answers.items()):
        print(f"  {name}: {count}")
    print(f"without an attack: {others}")
    max_time = max(SHORT_TIME, MAX_RATIO * others.p99)
    max_failures = MAX_RATIO * others.failures.total()
    violations: list[str] = []
    check(violations, f"beside the attacks: {clients}", clients.p99 < max_time)
    text = f"ordinary requests that failed: {dict(clients.failures)}"
    check(violations, text, clients.failures.total() <= max_failures)
    max_body_time = MAX_BODY_TIME + delay + max(others.seconds)
    text = f"a slow body lasted {longest:.1f} s at most, of {max_body_time:.1f} s"
    check(violations, text, longest < max_body_time)
    check(violations, f"{max(sizes):.0f} MiB of temporary files", max(sizes) < MAX_FILES)
    report(violations)


if __name__ == "__main__":
    main()
