"""What the samples say: medians, ratios, and the bars that must be cleared."""

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

from .contestants import ALCHEMIST, FASTAPI, PEERS, Contestant
from .measure import Load, Sample
from .operations import OPERATIONS
from .race import Outcome

# Operation, peer, and how many times the peer's rate Alchemist must reach. They only ever rise.
BARS = (
    ("get-ingredient", FASTAPI, 1.0),
    ("list-potions", FASTAPI, 6.0),
)

_ALL = (ALCHEMIST, *PEERS.values())
_FIGURES = (
    "operation",
    "contestant",
    "requests/s",
    "lowest to highest",
    "p50 ms",
    "p99 ms",
    "non-2xx",
    "its CPU",
    "others",
    "ratio to FastAPI",
    "ratio to the best peer",
)


def bars() -> str:
    return ", ".join(f"{operation} {_times(bar)} {peer.title}" for operation, peer, bar in BARS)


def failed(outcome: Outcome) -> int:
    return sum(sample.failed for found in outcome.samples.values() for sample in found)


def missed(outcome: Outcome) -> list[str]:
    """Return a line for each bar that was not cleared, or not measured."""
    found = [(*bar, _ratio(outcome, bar[0], bar[1])) for bar in BARS]
    return [
        f"{operation}: {_times(ratio)} {peer.title}'s rate; it must be {_times(bar)}."
        for operation, peer, bar, ratio in found
        if ratio is None or ratio < bar
    ]


def markdown(outcome: Outcome, load: Load) -> str:
    parts = (
        _machine(outcome),
        _method(load),
        _table(_FIGURES, list(_rows(outcome))),
        _table(("contestant", "resident MiB after the run"), list(_memory(outcome))),
    )
    return "\n\n".join(parts) + "\n"


def _method(load: Load) -> str:
    return (
        "One server process is bound to one CPU; wrk and PostgreSQL are bound to another. "
        f"{load.connections} connections, {load.duration} s measured after {load.warmup} s of "
        "warming up. Figures are medians of the rounds; a ratio is the median of the rounds' own. "
        "“Others” is the most that any other process took of the server's CPU in one round: where "
        "it is not near 0 the machine was busy, and only the ratios mean something."
    )


def _memory(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for contestant in _ALL:
        if contestant.name in outcome.resident_mib:
            yield contestant.title, f"{outcome.resident_mib[contestant.name]:.0f}"


def _machine(outcome: Outcome) -> str:
    packages = [f"{name} {metadata.version(name)}" for name in ("Flask", "SQLAlchemy", "gunicorn")]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {_cpu_model()}, {os.cpu_count()} CPUs; "
        f"Python {platform.python_version()}, PostgreSQL {outcome.postgresql}, "
        f"{', '.join(packages)}."
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for operation in OPERATIONS:
        for contestant in _ALL:
            if found := outcome.samples.get((contestant.name, operation.name)):
                compared = contestant is ALCHEMIST
                ratios = _ratios(outcome, operation.name) if compared else ("", "")
                yield operation.title, contestant.title, *_figures(found), *ratios


def _figures(found: list[Sample]) -> tuple[str, ...]:
    rates = [sample.rate for sample in found]
    return (
        f"{median(rates):,.0f}",
        f"{min(rates):,.0f} to {max(rates):,.0f}",
        f"{median(sample.p50 for sample in found):.2f}",
        f"{median(sample.p99 for sample in found):.2f}",
        str(sum(sample.failed for sample in found)),
        f"{median(sample.busy for sample in found):.0%}",
        f"{max(sample.others for sample in found):.0%}",
    )


def _ratios(outcome: Outcome, operation: str) -> tuple[str, str]:
    rates = {
        peer: median(sample.rate for sample in found)
        for peer in PEERS.values()
        if (found := outcome.samples.get((peer.name, operation)))
    }
    best = max(rates, key=rates.__getitem__, default=FASTAPI)
    to_best = f"{_times(_ratio(outcome, operation, best))} {best.title}"
    return _times(_ratio(outcome, operation, FASTAPI)), to_best


def _ratio(outcome: Outcome, operation: str, peer: Contestant) -> float | None:
    """Return Alchemist's rate by the peer's; neighbours in time, they share the machine's mood."""
    ours = outcome.samples[ALCHEMIST.name, operation]
    theirs = outcome.samples.get((peer.name, operation))
    if theirs is None:
        return None
    return median(our.rate / their.rate for our, their in zip(ours, theirs, strict=True))


def _times(ratio: float | None) -> str:
    return "not measured beside" if ratio is None else f"{ratio:.2f}×"  # noqa: RUF001


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(map(str.ljust, cells, widths)) + " |" for cells in (headings, rule, *rows)
    )
