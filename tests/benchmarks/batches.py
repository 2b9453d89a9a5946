"""Measure batches beside single creations, and beside the bulk inserts of FastAPI and SQLAlchemy.

PostgreSQL, the contestants and wrk run as in `python -m tests.benchmarks`, and take turns. The
figures are rows per second, medians of the rounds. The exit status is 1 if a batch is not 15 times
as fast as single creations, or not faster than that of FastAPI.
"""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import make_url

from alchemist import embedded
from tests.benchmarks import measure, options, runner
from tests.benchmarks.operations import INGREDIENTS_PER_POTION, Keys, Operation
from tests.benchmarks.processes import Entry
from tests.benchmarks.runner import Plan
from tests.benchmarks.subjects import ALCHEMIST, FASTAPI

MIN_RATIO_TO_SINGLE = 15.0
MIN_RATIO_TO_FASTAPI = 1.0
# The number of rows of a batch by resource.
BATCH_SIZES = {"ingredients": 500, "potions": 200}
# How many requests of one kind differ from each other, and how many ingredients potions are of.
REQUESTS_IN_TURN = 10
INGREDIENT_COUNT = 100
FLAVOURS = ("bitter", "silver", "sunken", "hollow", "amber", "restless", "northern")
# Rows per second, and per second of the server's CPU, of each round: by contestant, resource and
# number of rows of a request. The latter say more on a busy machine.
Rates = dict[tuple[str, str, int], list[tuple[float, float]]]


@dataclass(frozen=True)
class BatchKeys(Keys):
    """The ingredients that new potions are made of."""

    ingredients: tuple[str, ...]


INGREDIENTS = Operation(
    "list-ingredients",
    "the ingredients of new potions",
    f"/ingredients?limit={INGREDIENT_COUNT}",
    lambda answer: len(answer) == INGREDIENT_COUNT,
)


def creation(resource: str, rows: int) -> Operation:
    """Return the creation of so many rows in one request, or of one row by itself."""
    is_batch = rows > 1

    def entry(keys: BatchKeys, number: int) -> dict[str, Any]:
        # No two rows of a request are equal: equal ones would flatter a cache.
        name = {"name": f"Brine {number} of {FLAVOURS[number % len(FLAVOURS)]} depths"}
        if resource == "ingredients":
            return name
        start = number * INGREDIENTS_PER_POTION % INGREDIENT_COUNT
        return name | {"ingredients": keys.ingredients[start : start + INGREDIENTS_PER_POTION]}

    def bodies(keys: BatchKeys) -> tuple[str, ...]:
        starts = range(0, REQUESTS_IN_TURN * rows, rows)
        batches = [[entry(keys, start + n) for n in range(rows)] for start in starts]
        return tuple(json.dumps(batch if is_batch else batch[0]) for batch in batches)

    return Operation(
        f"create-{rows}-{resource}",
        f"{rows} {resource}",
        f"/{resource}/batch" if is_batch else f"/{resource}",
        lambda answer: len(answer) == rows if is_batch else answer["name"].startswith("Brine"),
        method="POST",
        status=201,
        bodies=bodies,
    )


def with_ingredients(entry: Entry) -> Entry:
    _headers, rows = measure.check(entry, INGREDIENTS)
    keys = BatchKeys(entry.keys.ingredient, entry.keys.potion, tuple(row["pk"] for row in rows))
    return replace(entry, keys=keys)


def measure_rates(plan: Plan, directory: Path, url: str) -> Rates:
    """Return the rates; raise Wrong for an answer that is not that of a creation."""
    server = make_url(url)
    homes = {ALCHEMIST: runner.alchemist_home(server, directory)}
    homes |= {peer: home for peer in plan.peers if (home := runner.peers_home(plan, server))}
    rates: Rates = defaultdict(list)
    with runner.serving(plan, homes, directory) as entries:
        contestants = [with_ingredients(entry) for entry in entries]
        for resource, size in BATCH_SIZES.items():
            for rows in (1, size):
                operation = creation(resource, rows)
                for entry in contestants:
                    measure.check(entry, operation)
                for entry in contestants * plan.rounds:
                    sample = measure.sample(entry, operation, plan.load)
                    if sample.taken.failed:
                        raise measure.Wrong(f"Answers of {operation.name} failed.")
                    rate = sample.taken.rate * rows
                    figures = (rate, rate / (sample.busy or 1))
                    rates[entry.contestant.name, resource, rows].append(figures)
    return rates


def report(rates: Rates) -> Iterator[str]:
    for (contestant, resource, rows), found in rates.items():
        rate, of_cpu = (median(figures) for figures in zip(*found, strict=True))
        yield (
            f"{contestant}, {rows} {resource} a request: {rate:,.0f} rows/s, "
            f"{of_cpu:,.0f} a second of its CPU"
        )


def missed(rates: Rates) -> Iterator[str]:
    """Yield a line for each bar that was not cleared; the ratios are medians of the rounds."""
    for resource, size in BATCH_SIZES.items():
        batch = rates[ALCHEMIST.name, resource, size]
        bars = {
            "single creations": (rates[ALCHEMIST.name, resource, 1], MIN_RATIO_TO_SINGLE),
            FASTAPI.title: (rates.get((FASTAPI.name, resource, size), []), MIN_RATIO_TO_FASTAPI),
        }
        for other, (found, bar) in bars.items():
            pairs = list(zip(batch, found, strict=True)) if found else []
            ratio, of_cpu = (
                median(ours[n] / theirs[n] for ours, theirs in pairs) if pairs else 0
                for n in range(2)
            )
            print(f"{size} {resource}: {ratio:.1f} times {other}, by CPU {of_cpu:.1f} times")
            if ratio < bar:
                yield f"{size} {resource}: {ratio:.2f} times {other}; it must be {bar}."


def main() -> int:
    plan = options.plan(options.parse(__doc__))
    os.sched_setaffinity(0, {plan.load_cpu})
    with (
        TemporaryDirectory(prefix="alchemist-benchmark-") as name,
        embedded.EmbeddedPostgres(Path(name) / "postgresql", durable=True) as server,
    ):
        rates = measure_rates(plan, Path(name), server.url)
    print("\n".join(report(rates)))
    failures = list(missed(rates))
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
