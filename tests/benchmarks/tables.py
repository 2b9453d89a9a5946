"""The rows of the report's tables: medians of rounds, ratios, statements and memory."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from tests.benchmarks.measure import Sample
from tests.benchmarks.operations import COMPARED
from tests.benchmarks.outcome import BARS, Outcome, p50, p99, rate
from tests.benchmarks.own import OWN
from tests.benchmarks.subjects import ALCHEMIST, CLOSED, FASTAPI, Contestant


def compared(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table that compares, in which each operation has a column."""
    rates = {
        contestant.title: partial(_median, outcome, contestant, rate, ",.0f")
        for contestant in (ALCHEMIST, *outcome.peers)
    }
    cells: dict[str, Callable[[str], str]] = rates | {
        "ratio to FastAPI": lambda name: _ratio(outcome.ratio(name, FASTAPI)),
        "its bar": lambda name: _ratio(BARS[name]) if FASTAPI in outcome.peers else "",
        "ratio to the best peer": partial(_best, outcome),
        "p50 ms": partial(_median, outcome, ALCHEMIST, p50, ".2f"),
        "p99 ms": partial(_median, outcome, ALCHEMIST, p99, ".2f"),
        "ratio of the p99 to FastAPI's": lambda name: _ratio(outcome.ratio(name, FASTAPI, p99)),
        "statements": lambda name: str(outcome.statements[name]),
    }
    for label, cell in cells.items():
        row = [cell(operation.name) for operation in COMPARED]
        # What was not measured is left out.
        if any(row):
            yield label, *row


def own(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for operation in OWN:
        figures = ((rate, ",.0f"), (p50, ".2f"), (p99, ".2f"))
        cells = [_median(outcome, CLOSED, *figure, operation.name) for figure in figures]
        yield operation.title, *cells, str(outcome.statements[operation.name])


def memory(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for contestant in (ALCHEMIST, *outcome.peers):
        found = outcome.memory[contestant.name]
        yield contestant.title, f"{found.resident:.0f}", f"{found.proportional:.0f}"


def _median(
    outcome: Outcome,
    contestant: Contestant,
    figure: Callable[[Sample], float],
    form: str,
    operation: str,
) -> str:
    found = outcome.of(contestant, operation)
    return format(median(map(figure, found)), form) if found else ""


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _best(outcome: Outcome, operation: str) -> str:
    best = outcome.best_peer(operation)
    return f"{_ratio(outcome.ratio(operation, best))} {best.title}" if best else ""


def details(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for operation in (*COMPARED, *OWN):
        for contestant in (ALCHEMIST, *outcome.peers, CLOSED):
            if found := outcome.of(contestant, operation.name):
                yield operation.title, contestant.title, *_figures(found)


def _figures(found: list[Sample]) -> tuple[str, ...]:
    rates = [sample.taken.rate for sample in found]
    return (
        f"{median(rates):,.0f}",
        f"{min(rates):,.0f} to {max(rates):,.0f}",
        f"{median(map(p50, found)):.2f}",
        f"{median(map(p99, found)):.2f}",
        str(sum(sample.taken.failed for sample in found)),
        f"{median(sample.busy for sample in found):.0%}",
        f"{median(sample.taken.rate / sample.busy for sample in found):,.0f}",
        f"{max(sample.others for sample in found):.0%}",
    )
