"""Send 100,000 requests of every kind to one worker, and check that its memory does not grow.

    python -m tests.faults.memory [--requests 100000] [--seed N]

Exit with 1 if the worker has more in the last quarter than in the second one, when all caches are
full.
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

# As many as the worker has threads, so that none is rejected on a slow machine.
CLIENTS, SAMPLES = 4, 20
# More than the token cache has room for.
TOKENS = 5_000
# Unusual lists that each client requests first: more than the caches of statements have room for.
UNUSUAL = 100
# MiB, in half of the requests: of 100,000 about 60 bytes for each.
MAX_GROWTH = 3.0


class Memory(NamedTuple):
    """MiB of a process that are in memory, and those of them that are not shared."""

    resident: float
    private: float


def _smaps(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def proportional_memory(pid: int) -> float:
    """Return the MiB of a process; shared pages count in parts (PSS)."""
    return _smaps(pid)["Pss:"] / 1024


def memory(pid: int) -> Memory:
    kib = _smaps(pid)
    return Memory(kib["Rss:"] / 1024, (kib["Private_Clean:"] + kib["Private_Dirty:"]) / 1024)


@contextmanager
def serving(*options: str) -> Iterator[tuple[Gunicorn, list[str]]]:
    """Yield a server of one worker with the sample data, and the secrets of many tokens."""
    with (
        TemporaryDirectory(prefix="alchemist-faults-") as directory,
        embedded.EmbeddedPostgres(Path(directory) / "data", durable=False) as server,
    ):
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        sample_data.load_missing(server.url)
        secrets = _create_tokens(server.url)
        environment = {
            "ALCHEMIST_LOG_LEVEL": "warning",
            "ALCHEMIST_OPEN_ACCESS": "false",
            "ALCHEMIST_WORKERS": "1",
            "GUNICORN_CMD_ARGS": " ".join(options),
        }
        with ProductionGunicorn(server.url, Path(directory), **environment) as gunicorn:
            yield gunicorn, secrets


def _create_tokens(url: URL) -> list[str]:
    """Store many tokens of an admin; return their secrets."""
    secrets = [token_format.generate() for _ in range(TOKENS)]
    admin = next(row["pk"] for row in sample_data.sample_rows("users") if row["role"] == "admin")
    common = {"user_id": admin, "label": "Till", "expires_at": "2099-01-01T00:00:00Z"}
    rows = [{**common, "digest": token_format.digest(secret)} for secret in secrets]
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(insert(Token), rows)
    return secrets


def load(gunicorn: Gunicorn, clients: list[Client], requests: int) -> list[Memory]:
    """Send so many requests; return the memory of the worker at equal intervals."""
    [worker] = workers(gunicorn.process.pid)
    samples = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(Client.send_unusual_requests, clients, [UNUSUAL] * CLIENTS))
        for _sample in range(SAMPLES):
            list(
                pool.map(Client.send_requests, clients, [requests // SAMPLES // CLIENTS] * CLIENTS)
            )
            samples.append(memory(worker))
            done = sum(sum(client.statuses.values()) for client in clients)
            resident, private = samples[-1]
            print(f"  {done:7,}: {resident:6.1f} MiB, {private:6.1f} private", flush=True)
            assert workers(gunicorn.process.pid) == [worker]
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options, others = parser.parse_known_args()
    print(f"seed {options.seed}")
    violations: list[str] = []
    with serving(*others) as (gunicorn, secrets):
        clients = [Client(gunicorn.port, options.seed + n, secrets) for n in range(CLIENTS)]
        gunicorn.request("GET", "/readyz")
        samples = load(gunicorn, clients, options.requests)
    statuses = sum((client.statuses for client in clients), Counter[int]())
    wrong_responses = [line for client in clients for line in client.wrong_responses]
    check(violations, f"responses: {dict(sorted(statuses.items()))}", not wrong_responses)
    violations += wrong_responses[:10]
    quarter = SAMPLES // 4
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    for name in Memory._fields:
        growth = mean(getattr(m, name) for m in after) - mean(getattr(m, name) for m in before)
        result = f"the last quarter has {growth:+.1f} MiB {name} on the second"
        check(violations, result, growth <= MAX_GROWTH)
    report(violations)


if __name__ == "__main__":
    main()
