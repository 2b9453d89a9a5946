"""100,000 requests of every kind to one worker, and whether its memory goes on growing.

    python -m tests.faults.memory [--requests 100000] [--seed N]

Exits with 1 if the worker has more in the last quarter than it had in the second, by which all that
is kept for good has been.
"""

import argparse
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import NamedTuple

import alembic.command
from sqlalchemy import URL, NullPool, create_engine, insert

from alchemist import database as db
from alchemist import embedded
from alchemist.cli import sample_data
from alchemist.domains.users import token_format
from alchemist.domains.users.models import Token
from tests.faults.bursts import workers
from tests.faults.mixture import Client
from tests.faults.service import check, report
from tests.servers import Gunicorn, ProductionGunicorn

# As many as the worker has threads, so that none is refused however slow the machine is.
CLIENTS, SAMPLES = 4, 20
# More than the service remembers at once.
TOKENS = 5_000
# Shapes of lists that each client asks for before all else: together more than are remembered.
STRANGE = 100
# MiB, in half of the requests: of 100,000 about 60 bytes for each.
MOST_GROWTH = 3.0


class Memory(NamedTuple):
    """MiB of a process that are in memory, and those of them that it shares with nobody."""

    resident: float
    private: float


def _smaps(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def pss(pid: int) -> float:
    """Return the MiB of a process, with its share of the pages that others use, too."""
    return _smaps(pid)["Pss:"] / 1024


def memory(pid: int) -> Memory:
    kib = _smaps(pid)
    return Memory(kib["Rss:"] / 1024, (kib["Private_Clean:"] + kib["Private_Dirty:"]) / 1024)


@contextmanager
def serving(*options: str) -> Iterator[tuple[Gunicorn, list[str]]]:
    """Yield a server of one worker with the examples in it, and the secrets of many tokens."""
    with (
        TemporaryDirectory(prefix="alchemist-faults-") as directory,
        embedded.EmbeddedPostgres(Path(directory) / "data", durable=False) as server,
    ):
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        sample_data.load_missing(server.url)
        known = _issue(server.url)
        environment = {
            "ALCHEMIST_LOG_LEVEL": "warning",
            "ALCHEMIST_OPEN_ACCESS": "false",
            "ALCHEMIST_WORKERS": "1",
            "GUNICORN_CMD_ARGS": " ".join(options),
        }
        with ProductionGunicorn(server.url, Path(directory), **environment) as gunicorn:
            yield gunicorn, known


def _issue(url: URL) -> list[str]:
    """Give an admin many tokens."""
    known = [token_format.generate() for _ in range(TOKENS)]
    admin = next(row["pk"] for row in sample_data.sample_rows("users") if row["role"] == "admin")
    common = {"user_id": admin, "label": "Till", "expires_at": "2099-01-01T00:00:00Z"}
    rows = [{**common, "digest": token_format.digest(secret)} for secret in known]
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(insert(Token), rows)
    return known


def load(gunicorn: Gunicorn, clients: list[Client], requests: int) -> list[Memory]:
    """Ask so often, and return the memory of the worker at equal intervals."""
    [worker] = workers(gunicorn.process.pid)
    found = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(Client.ask_strangely, clients, [STRANGE] * CLIENTS))
        for _sample in range(SAMPLES):
            list(pool.map(Client.ask_many, clients, [requests // SAMPLES // CLIENTS] * CLIENTS))
            found.append(memory(worker))
            done = sum(sum(client.told.values()) for client in clients)
            resident, private = found[-1]
            print(f"  {done:7,}: {resident:6.1f} MiB, {private:6.1f} of its own", flush=True)
            assert workers(gunicorn.process.pid) == [worker]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options, others = parser.parse_known_args()
    print(f"seed {options.seed}")
    violations: list[str] = []
    with serving(*others) as (gunicorn, known):
        clients = [Client(gunicorn.port, options.seed + n, known) for n in range(CLIENTS)]
        gunicorn.request("GET", "/readyz")
        found = load(gunicorn, clients, options.requests)
    told = sum((client.told for client in clients), Counter[int]())
    wrong = [line for client in clients for line in client.wrong]
    check(violations, f"answers: {dict(sorted(told.items()))}", not wrong)
    violations += wrong[:10]
    quarter = SAMPLES // 4
    before, after = found[quarter : 2 * quarter], found[-quarter:]
    for name in Memory._fields:
        growth = mean(getattr(m, name) for m in after) - mean(getattr(m, name) for m in before)
        told_growth = f"the last quarter has {growth:+.1f} MiB {name} on the second"
        check(violations, told_growth, growth <= MOST_GROWTH)
    report(violations)


if __name__ == "__main__":
    main()
