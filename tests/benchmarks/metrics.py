"""Measure what metrics cost: requests per second, and CPU time of a request, with and without.

Two services of one worker, one with metrics, run side by side on one PostgreSQL. wrk loads them in
turns, in another order each round, and the service with metrics is scraped meanwhile. Prints
medians and ratios, which are the medians of the rounds' own; fails if a request takes too much more
CPU time. That of the worker is the same on a machine that others use, and the rates are not. Needs
Debian's wrk. `python -m tests.benchmarks.metrics [rounds]`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from sqlalchemy import URL

from tests.benchmarks import wrk
from tests.benchmarks.operations import Request
from tests.benchmarks.workers import filled
from tests.faults import bursts
from tests.servers import ProductionGunicorn, free_port

ROUNDS, MAX_RATIO = 15, 1.03
CONNECTIONS, WARMUP, SECONDS = 8, 1, 2


@contextmanager
def serving(url: URL, metrics_port: int) -> Iterator[dict[str, ProductionGunicorn]]:
    """Yield a service without metrics, and one with them."""
    settings = {"off": {}, "on": {"ALCHEMIST_METRICS_BIND": f"127.0.0.1:{metrics_port}"}}
    common = {"ALCHEMIST_WORKERS": "1", "ALCHEMIST_LOG_LEVEL": "warning"}
    with TemporaryDirectory(prefix="alchemist-benchmark-") as name, ExitStack() as stack:
        services = {}
        for metrics, variables in settings.items():
            directory = Path(name) / metrics
            directory.mkdir()
            server = ProductionGunicorn(url, directory, **common, **variables)
            services[metrics] = stack.enter_context(server)
        yield services


def cpu_ticks(pid: int) -> int:
    """Return the CPU time of a process (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def measure(server: ProductionGunicorn, path: str, seconds: int) -> tuple[float, float]:
    """Return the requests per second, and the milliseconds of CPU time of a request."""
    [worker] = bursts.workers(server.process.pid)
    before = cpu_ticks(worker)
    result = wrk.apply_load(server.port, Request("GET", path, {}, ()), CONNECTIONS, seconds)
    if result.failed:
        sys.exit(f"The run is void: {result.failed} requests to {path} failed.")
    milliseconds = (cpu_ticks(worker) - before) / os.sysconf("SC_CLK_TCK") * 1000
    return result.rate, milliseconds / (result.rate * seconds)


def main(rounds: int = ROUNDS) -> int:
    metrics_port = free_port()
    results = []
    with filled() as (url, ingredient), serving(url, metrics_port) as services:
        path = f"/api/v2/ingredients/{ingredient}"
        for server in services.values():
            measure(server, path, WARMUP)
        for number in range(rounds):
            order = sorted(services, reverse=bool(number % 2))
            results.append({each: measure(services[each], path, SECONDS) for each in order})
            urlopen(f"http://127.0.0.1:{metrics_port}/metrics").read()
    ratios = []
    for index, unit in enumerate(("requests/s", "ms of CPU time a request")):
        off, on = (median(each[metrics][index] for each in results) for metrics in ("off", "on"))
        ratios.append(median(each["on"][index] / each["off"][index] for each in results))
        print(f"{off:,.3f} {unit} without metrics, {on:,.3f} with them: {ratios[-1]:.3f} times")
    return int(ratios[1] > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
