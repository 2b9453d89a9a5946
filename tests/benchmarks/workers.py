"""Measure what a second worker adds, in requests per second, on CPUs that all processes share.

A service of one worker and one of two run side by side, on one PostgreSQL, and wrk loads them in
turns: with what needs no database, and with a read. Prints medians and the ratio, which is the
median of the rounds' own; fails if it is too low. Needs Debian's wrk and two CPUs.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import URL, make_url

from alchemist import embedded
from tests.benchmarks import databases, wrk
from tests.benchmarks.operations import Request
from tests.servers import ProductionGunicorn

ROUNDS, LEAST = 5, 1.7
CONNECTIONS, WARMUP, SECONDS = 16, 1, 2
COUNTS = (1, 2)


@contextmanager
def filled() -> Iterator[tuple[URL, str]]:
    """Yield a database, and the key of an ingredient in it."""
    with (
        TemporaryDirectory(prefix="alchemist-benchmark-") as directory,
        embedded.EmbeddedPostgres(Path(directory) / "postgresql", durable=True) as server,
    ):
        url = databases.create(make_url(server.url), "bench_workers")
        yield url, databases.fill_alchemist(url).ingredient


@contextmanager
def serving(url: URL) -> Iterator[list[int]]:
    """Yield the ports of a service with one worker, and of one with two."""
    with TemporaryDirectory(prefix="alchemist-benchmark-") as name, ExitStack() as stack:
        ports = []
        for count in COUNTS:
            directory = Path(name) / str(count)
            directory.mkdir()
            settings = {"ALCHEMIST_WORKERS": str(count), "ALCHEMIST_LOG_LEVEL": "warning"}
            ports.append(stack.enter_context(ProductionGunicorn(url, directory, **settings)).port)
        yield ports


def rate(port: int, path: str) -> float:
    request = Request("GET", path, {}, ())
    wrk.apply_load(port, request, CONNECTIONS, WARMUP)
    taken = wrk.apply_load(port, request, CONNECTIONS, SECONDS)
    if taken.failed:
        sys.exit(f"The run is void: {taken.failed} answers to {path} were refusals.")
    return taken.rate


def main() -> int:
    failed = False
    with filled() as (url, ingredient), serving(url) as ports:
        for path in ("/livez", f"/api/v2/ingredients/{ingredient}"):
            rounds = [[rate(port, path) for port in ports] for _ in range(ROUNDS)]
            one, two = map(median, zip(*rounds, strict=True))
            ratio = median(two / one for one, two in rounds)
            failed |= ratio < LEAST
            print(f"{path}: {one:,.0f} with one worker, {two:,.0f} with two: {ratio:.2f} times")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
