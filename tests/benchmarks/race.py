"""A run: one PostgreSQL, every contestant serving, each operation measured in turns."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, make_url

from alchemist import embedded

from . import contestants, databases, measure, processes
from .contestants import ALCHEMIST, Contestant, Home
from .measure import Entry, Load, Sample
from .operations import OPERATIONS


@dataclass(frozen=True)
class Plan:
    """What will be run, and where."""

    peers: list[Contestant]
    peers_directory: Path
    peers_venv: Path
    rounds: int
    load: Load
    server_cpu: int

    @property
    def contestants(self) -> list[Contestant]:
        return [ALCHEMIST, *self.peers]

    @property
    def seconds(self) -> int:
        """How long the loads take together; installing, starting and filling come on top."""
        turns = sum(len(OPERATIONS) - len(contestant.cannot) for contestant in self.contestants)
        return self.rounds * turns * (self.load.warmup + self.load.duration)


@dataclass(frozen=True)
class Outcome:
    """Samples by the names of contestant and operation, a round each; memory by contestant."""

    samples: dict[tuple[str, str], list[Sample]]
    resident_mib: dict[str, float]
    postgresql: str


def run(plan: Plan) -> Outcome:
    """Raise Dead for a server that does not serve, Wrong for an answer that is not right."""
    with (
        TemporaryDirectory(prefix="alchemist-benchmark-") as directory,
        embedded.Server(Path(directory) / "postgresql", durable=True) as server,
        _serving(plan, make_url(server.url), Path(directory)) as entries,
    ):
        samples = _samples(plan, entries, Path(directory))
        resident = {entry.contestant.name: processes.resident_mib(entry.pid) for entry in entries}
        return Outcome(samples, resident, databases.version(make_url(server.url)))


@contextmanager
def _serving(plan: Plan, url: URL, directory: Path) -> Iterator[list[Entry]]:
    """Serve with all contestants at once; the idle ones cost the loaded one nothing.

    Turns then follow each other at once, and the ratio of two rates is that of two neighbouring
    moments of the machine.
    """
    databases.pin(url, plan.load.cpu)
    ours = _alchemist_home(url, directory)
    theirs = _peers_home(plan, url) if plan.peers else ours
    with ExitStack() as stack:
        entries = []
        for contestant in plan.contestants:
            home = ours if contestant is ALCHEMIST else theirs
            serving = processes.serving(contestant, home, plan.server_cpu, directory)
            pid, port = stack.enter_context(serving)
            entries.append(Entry(contestant, home.keys, plan.server_cpu, pid, port))
        yield entries


def _alchemist_home(server: URL, directory: Path) -> Home:
    url = databases.create(server, "bench_alchemist")
    keys = databases.fill_alchemist(url)
    # Not in the repository, whose `.env` is its developer's.
    environment = contestants.alchemist_environment(url)
    return Home(Path(sys.executable), directory, environment, keys)


def _peers_home(plan: Plan, server: URL) -> Home:
    directory = plan.peers_directory
    python = contestants.install(directory / "requirements.txt", plan.peers_venv)
    url = databases.create(server, "bench")
    keys = databases.fill_peers(url, python, directory)
    return Home(python, directory, contestants.peers_environment(url), keys)


def _samples(
    plan: Plan, entries: list[Entry], directory: Path
) -> dict[tuple[str, str], list[Sample]]:
    samples = defaultdict(list)
    for operation in OPERATIONS:
        able = [entry for entry in entries if operation.name not in entry.contestant.cannot]
        for entry in able:
            measure.check(entry, operation)
        for number in range(1, plan.rounds + 1):
            print(f"{operation.title}, round {number} of {plan.rounds}:", end="", flush=True)
            for entry in able:
                sample = measure.sample(entry, operation, plan.load, directory)
                samples[entry.contestant.name, operation.name].append(sample)
                print(f"  {entry.contestant.title} {sample.rate:,.0f}", end="", flush=True)
            print()
    return dict(samples)
