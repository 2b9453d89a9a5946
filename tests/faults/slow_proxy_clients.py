"""Slow and abusive clients of nginx, as the Dockerfile configures it, beside ordinary ones.

    python -m tests.faults.slow_proxy_clients [--seconds 20]

From one address each: 1,020 bodies at 250 bytes a second, 262 bodies that stop before their last
byte, 500 heads that do not end, 100 clients that do not read, and a flood of requests. Exits with 1
if a request of an ordinary client fails or is late, if a body lasts too long, or if nginx fills its
temporary files.
"""

import argparse
import asyncio
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from multiprocessing import Process, Queue
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

from tests.faults.bursts import workers
from tests.faults.service import check, percentile, report, serving
from tests.nginx import serving_nginx
from tests.servers import TIMEOUT

ORDINARY_CLIENTS = 4
# Seconds: a request of an ordinary client at the 99th percentile, and a body that does not end. The
# service allows ALCHEMIST_CLIENT_TIMEOUT for that; the rest is for the sweep and a busy machine.
MAX_P99, CLIENT_TIMEOUT, MAX_BODY_TIME = 0.5, 3, 3 + 3
# Seconds that an ordinary client waits.
PATIENCE = 5
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


async def attack_all(port: int, duration: float, results: Any) -> None:
    """Attack until this process is killed; report the answers after a time."""
    answers, seconds = Counter[str](), [0.0]
    tasks = [
        asyncio.create_task(repeat(attack, port, f"127.0.1.{number}", answers, seconds))
        for number, (attack, connections) in enumerate(ATTACKS.items(), 1)
        for _ in range(connections)
    ]
    await asyncio.sleep(duration)
    results.put((answers, max(seconds)))
    await asyncio.wait(tasks, timeout=TIMEOUT)


def run_attacks(port: int, duration: float, results: Any) -> None:
    asyncio.run(attack_all(port, duration, results))


def request_often(port: int, stop: Event, seconds: list[float], failures: Counter[str]) -> None:
    """Request some twenty times a second, on a new connection each time."""
    while not stop.wait(random.uniform(0.02, 0.08)):
        started = monotonic()
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            try:
                connection.request("GET", "/api/v2/ingredients?limit=1")
                status = connection.getresponse().status
            except (OSError, HTTPException) as error:
                failures[repr(error)] += 1
            else:
                seconds.append(monotonic() - started)
                if status != 200:
                    failures[str(status)] += 1


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    duration = parser.parse_args().seconds
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert nginx, "nginx is not installed"
    stop, seconds, sizes = Event(), list[float](), list[float]()
    failures, results = Counter[str](), Queue()
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            "ALCHEMIST_OPEN_ACCESS": "false",
            "ALCHEMIST_TRUSTED_PROXIES": "unix",
            "ALCHEMIST_CLIENT_TIMEOUT": str(CLIENT_TIMEOUT),
        }
        with (
            serving(sockets=[f"unix:{directory}/http.sock"], **environment),
            serving_nginx(nginx, Path(directory)) as proxy,
        ):
            threads = [
                Thread(target=request_often, args=(proxy.port, stop, seconds, failures))
                for _ in range(ORDINARY_CLIENTS)
            ]
            threads.append(Thread(target=watch_files, args=(proxy.pid, stop, sizes)))
            attackers = Process(
                target=run_attacks, args=(proxy.port, duration, results), daemon=True
            )
            attackers.start()
            for thread in threads:
                thread.start()
            try:
                answers, longest = results.get(timeout=duration + TIMEOUT)
            finally:
                stop.set()
                attackers.kill()
            for thread in threads:
                thread.join()
    for name, count in sorted(answers.items()):
        print(f"  {name}: {count}")
    violations: list[str] = []
    p99 = percentile(seconds, 0.99)
    text = f"{len(seconds)} ordinary requests, p99 {p99 * 1000:.0f} ms"
    check(violations, text, p99 < MAX_P99)
    check(violations, f"ordinary requests that failed: {dict(failures)}", not failures)
    check(violations, f"a slow body lasted {longest:.1f} s at most", longest < MAX_BODY_TIME)
    check(violations, f"{max(sizes):.0f} MiB of temporary files", max(sizes) < MAX_FILES)
    report(violations)


if __name__ == "__main__":
    main()
