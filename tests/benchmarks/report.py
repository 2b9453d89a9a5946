"""The report of a run in Markdown: first the tables of the README, then every figure."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tests.benchmarks import tables
from tests.benchmarks.operations import COMPARED
from tests.benchmarks.outcome import Outcome
from tests.benchmarks.own import OWN
from tests.benchmarks.subjects import ALCHEMIST, CLOSED
from tests.benchmarks.wrk import Load

_FIGURES = (
    "operation",
    "contestant",
    "requests/s",
    "lowest to highest",
    "p50 ms",
    "p99 ms",
    "failed",
    "its CPU",
    "requests/CPU s",
    "others",
)
_LEGEND = (
    "Every figure of that run. “Its CPU” is how much of its CPU the server used: where it is less "
    "than all, it waited, for the disk perhaps. “Others” is the most that any other process took "
    "of that CPU in one round: where it is not near 0 the machine was busy, and only the ratios "
    "mean something."
)


def markdown(outcome: Outcome, load: Load) -> str:
    return f"{summary(outcome, load)}\n{_LEGEND}\n\n{_table(_FIGURES, tables.details(outcome))}\n"


def summary(outcome: Outcome, load: Load) -> str:
    """Return what the README shows, as it stands there."""
    compared = ("requests/s", *(operation.title for operation in COMPARED))
    memory = ("memory of a worker, MiB", "resident", "proportional")
    parts = (
        _run(outcome, load),
        _table(compared, tables.compared(outcome)),
        _table(
            ("Alchemist alone", "requests/s", "p50 ms", "p99 ms", "statements"), tables.own(outcome)
        ),
        _table(memory, tables.memory(outcome)),
    )
    return "\n\n".join(parts) + "\n"


def _run(outcome: Outcome, load: Load) -> str:
    packages = [f"{name} {metadata.version(name)}" for name in ("Flask", "SQLAlchemy", "gunicorn")]
    rounds, own_rounds = (
        max((len(outcome.of(contestant, one.name)) for one in operations), default=0)
        for contestant, operations in ((ALCHEMIST, COMPARED), (CLOSED, OWN))
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {_cpu_model()}, {os.cpu_count()} CPUs; "
        f"Python {platform.python_version()}, PostgreSQL {outcome.postgresql}, "
        f"{', '.join(packages)}; {load.connections} connections; {load.duration} s a sample, "
        f"{rounds} of each operation and {own_rounds} of each of Alchemist's own."
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(map(str.ljust, cells, widths)) + " |"
        for cells in (headings, rule, *lines)
    )
