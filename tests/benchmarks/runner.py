"""A run: one PostgreSQL, the contestants in turns, then Alchemist alone, then its statements."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, make_url

from alchemist import embedded
from tests.benchmarks import databases, measure, processes, shop, statements, subjects
from tests.benchmarks.operations import COMPARED, Operation
from tests.benchmarks.outcome import Outcome, Samples
from tests.benchmarks.own import OWN
from tests.benchmarks.processes import Entry, Memory
from tests.benchmarks.subjects import ALCHEMIST, CLOSED, Contestant, Home
from tests.benchmarks.wrk import Load

# Who answers what; those of a group take turns.
Turn = tuple[Entry, Operation]


@dataclass(frozen=True)
class Plan:
    """What will be run, and where."""

    peers: list[Contestant]
    peers_directory: Path
    peers_venv: Path
    rounds: int
    own_rounds: int
    load: Load
    server_cpu: int
    load_cpu: int

    @property
    def seconds(self) -> int:
        """How long the loads take together; installing, starting and filling come on top."""
        contestants = [ALCHEMIST, *self.peers]
        turns = sum(len(COMPARED) - len(contestant.cannot) for contestant in contestants)
        samples = self.rounds * turns + self.own_rounds * len(OWN)
        return samples * (self.load.warmup + self.load.duration)


def run(plan: Plan) -> Outcome:
    """Raise Dead for a server that does not serve, Wrong for an answer that is not right."""
    with (
        TemporaryDirectory(prefix="alchemist-benchmark-") as name,
        embedded.EmbeddedPostgres(Path(name) / "postgresql", durable=True) as server,
    ):
        url, directory = make_url(server.url), Path(name)
        ours, theirs = alchemist_home(url, directory), peers_home(plan, url)
        samples, memory = _compare(plan, ours, theirs, directory)
        counts = statements.count(ALCHEMIST, ours, COMPARED, plan.server_cpu, directory)
        alone, home = _alone(plan, url, directory)
        counts |= statements.count(CLOSED, home, OWN, plan.server_cpu, directory)
        return Outcome(samples | alone, memory, counts, databases.version(url))


def _compare(
    plan: Plan, ours: Home, theirs: Home | None, directory: Path
) -> tuple[Samples, dict[str, Memory]]:
    homes = {ALCHEMIST: ours} | {peer: theirs for peer in plan.peers if theirs}
    with serving(plan, homes, directory) as entries:
        samples: Samples = {}
        for operation in COMPARED:
            able = [entry for entry in entries if operation.name not in entry.contestant.cannot]
            turns = [(entry, operation) for entry in able]
            samples |= _samples(plan.rounds, plan.load, operation.title, turns)
        return samples, {entry.contestant.name: processes.memory(entry.pid) for entry in entries}


@contextmanager
def serving(plan: Plan, homes: dict[Contestant, Home], directory: Path) -> Iterator[list[Entry]]:
    """Serve with all contestants at once; the idle ones cost the loaded one nothing.

    Turns then follow each other at once, and the ratio of two rates is that of two neighbouring
    moments of the machine.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(processes.serving(contestant, home, plan.server_cpu, directory))
            for contestant, home in homes.items()
        ]


def _alone(plan: Plan, server: URL, directory: Path) -> tuple[Samples, Home]:
    """Return the samples of the own operations, and where another service can answer them."""
    url = databases.create(server, "bench_alone")
    filled = shop.fill(url, databases.fill_alchemist(url))
    environment = subjects.alchemist_environment(url, open_access=False)
    home = Home(Path(sys.executable), directory, environment, filled)
    with processes.serving(CLOSED, home, plan.server_cpu, directory) as found:
        visited = shop.visit(found, filled)
        turns = [(replace(found, keys=visited), operation) for operation in OWN]
        samples = _samples(plan.own_rounds, plan.load, "Alchemist alone", turns)
    return samples, replace(home, keys=visited)


def alchemist_home(server: URL, directory: Path) -> Home:
    url = databases.create(server, "bench_alchemist")
    keys = databases.fill_alchemist(url)
    # Not in the repository, whose `.env` is its developer's.
    environment = subjects.alchemist_environment(url, open_access=True)
    return Home(Path(sys.executable), directory, environment, keys)


def peers_home(plan: Plan, server: URL) -> Home | None:
    if not plan.peers:
        return None
    directory = plan.peers_directory
    python = subjects.install(directory / "requirements.txt", plan.peers_venv)
    url = databases.create(server, "bench")
    keys = databases.fill_peers(url, python, directory)
    return Home(python, directory, subjects.peers_environment(url), keys)


def _samples(rounds: int, load: Load, title: str, turns: Sequence[Turn]) -> Samples:
    for entry, operation in turns:
        measure.check(entry, operation)
    samples: Samples = defaultdict(list)
    for number in range(1, rounds + 1):
        print(f"{title}, round {number} of {rounds}:", end="", flush=True)
        for entry, operation in turns:
            sample = measure.sample(entry, operation, load)
            samples[entry.contestant.name, operation.name].append(sample)
            told = operation.name if entry.contestant is CLOSED else entry.contestant.title
            print(f"  {told} {sample.taken.rate:,.0f}", end="", flush=True)
        print()
    return dict(samples)
