"""Compare two services, with and without what some variables switch on.

The services have one worker each, and run side by side on one PostgreSQL. wrk loads them in turns,
in another order each round. The CPU time of a request is the same on a machine that others use, and
the rates are not. Needs Debian's wrk.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from tests.benchmarks import wrk
from tests.benchmarks.operations import Request
from tests.benchmarks.workers import filled
from tests.faults import bursts
from tests.servers import ProductionGunicorn

ROUNDS = 15
CONNECTIONS, WARMUP, SECONDS = 8, 1, 2


def do_nothing() -> None:
    """Do nothing after a round."""


def compare(
    variables: Mapping[str, str],
    max_ratio: float,
    rounds: int = ROUNDS,
    after_round: Callable[[], object] = do_nothing,
) -> int:
    """Print medians and ratios, which are the medians of the rounds' own.

    Return the exit code: 1 if a request takes more than `max_ratio` times the CPU time.
    """
    results = []
    with filled() as (url, ingredient), serving(url, variables) as services:
        path = f"/api/v2/ingredients/{ingredient}"
        for server in services.values():
            measure(server, path, WARMUP)
        for number in range(rounds):
            order = sorted(services, reverse=bool(number % 2))
            results.append({each: measure(services[each], path, SECONDS) for each in order})
            after_round()
    ratios = []
    for index, unit in enumerate(("requests/s", "ms of CPU time a request")):
        off, on = (median(each[name][index] for each in results) for name in ("off", "on"))
        ratios.append(median(each["on"][index] / each["off"][index] for each in results))
        print(f"{off:,.3f} {unit} without, {on:,.3f} with: {ratios[-1]:.3f} times")
    return int(ratios[1] > max_ratio)


@contextmanager
def serving(url: URL, variables: Mapping[str, str]) -> Iterator[dict[str, ProductionGunicorn]]:
    """Yield a service without these variables, and one with them."""
    settings = {"off": {}, "on": variables}
    common = {"ALCHEMIST_WORKERS": "1", "ALCHEMIST_LOG_LEVEL": "warning"}
    with TemporaryDirectory(prefix="alchemist-benchmark-") as name, ExitStack() as stack:
        services = {}
        for service, special in settings.items():
            directory = Path(name) / service
            directory.mkdir()
            server = ProductionGunicorn(url, directory, **common, **special)
            services[service] = stack.enter_context(server)
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
