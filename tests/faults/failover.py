"""Break the primary and the standby while clients buy, and check that every response was true.

    python -m tests.faults.failover --patroni .patroni/bin/patroni [--seed N] [--log FILE]

Needs Debian's `etcd-server` and `postgresql`, and Patroni in an environment of its own:

    python3 -m venv .patroni
    .patroni/bin/pip install 'patroni[etcd3,psycopg3]==4.1.5' 'psycopg[binary]'

Exit with 1 if an acknowledged change is missing or stored twice, if connections are left, if a
worker was replaced, or if a response was neither final nor 503. A run takes about three minutes.
"""

import argparse
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import sleep

import alembic.command
from sqlalchemy import NullPool, create_engine

from alchemist import database as db
from tests.faults import clients as fault_clients
from tests.faults.clients import Client
from tests.faults.crashes import (
    broken_invariants,
    false_responses,
    open_shop,
    run_and_exit,
    stop_clients,
)
from tests.faults.patroni import Cluster
from tests.faults.shop import THREADS, WORKERS, Service

CLIENTS = 8
# Seconds between two faults, in which clients buy.
PAUSE = 5
# Two pools of a connection for each thread.
MAX_BACKENDS = 2 * WORKERS * THREADS
COUNT_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alchemist'"
# Statuses that clients of an outage may get.
EXPECTED_STATUSES = {200, 201, 409, 503}
ACTION_TIMEOUT = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--patroni", type=Path, required=True, help="the program of Patroni")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument(
        "--log", type=Path, default=Path(os.devnull), help="a copy of the service's log"
    )
    parser.add_argument(
        "--no-key",
        action="store_true",
        help="repeat requests without Idempotency-Key, which must be a violation",
    )
    options = parser.parse_args()
    print(f"seed {options.seed}, keys: {not options.no_key}", flush=True)
    fault_clients.ACTION_TIMEOUT = ACTION_TIMEOUT
    patroni, has_keys = options.patroni.absolute(), not options.no_key
    run_and_exit(lambda home: _run(patroni, home, options.seed, has_keys), options.log)


def _run(patroni: Path, directory: Path, seed: int, has_keys: bool) -> Iterator[str]:
    with Cluster(patroni, directory) as cluster:
        alembic.command.upgrade(db.alembic_config(cluster.url), "head")
        engine = create_engine(cluster.url, poolclass=NullPool)
        with engine.begin() as connection:
            shop = open_shop(connection)
        with Service(cluster.url, directory, "") as service:
            workers = service.workers()
            clients = [Client(service.port, seed + n, shop, has_keys) for n in range(CLIENTS)]
            for client in clients:
                client.start()
            watcher = BackendWatcher(cluster)
            watcher.start()
            for fault in random.Random(seed).sample(FAULTS, len(FAULTS)):
                sleep(PAUSE)
                _inject(fault, cluster, service.log)
            yield from stop_clients(clients)
            watcher.stopped.set()
            watcher.join()
            _report(clients)
            with engine.connect() as connection:
                yield from false_responses(connection, clients)
            yield from broken_invariants(cluster.url)
            yield from _check_service(service, workers, watcher)


def kill_primary(cluster: Cluster) -> None:
    """Let the machine of the primary fail, and return after the failover."""
    former, successor = cluster.primary, cluster.standby
    former.kill()
    cluster.wait_until(successor.is_primary, "the standby was not promoted")
    sleep(PAUSE)
    former.start()


def freeze_primary(cluster: Cluster) -> None:
    """Let the machine of the primary hang, and continue after the failover."""
    former, successor = cluster.primary, cluster.standby
    former.send(signal.SIGSTOP)
    try:
        cluster.wait_until(successor.is_primary, "the standby was not promoted")
        sleep(PAUSE)
    finally:
        former.send(signal.SIGCONT)


def crash_primary(cluster: Cluster) -> None:
    """Kill PostgreSQL, which Patroni starts again in its place, or replaces."""
    for pid in cluster.primary.postgres():
        os.kill(pid, signal.SIGKILL)


def kill_standby(cluster: Cluster) -> None:
    standby = cluster.standby
    standby.kill()
    sleep(2 * PAUSE)
    standby.start()


def freeze_standby(cluster: Cluster) -> None:
    """Let commits wait for the standby until Patroni gives it up."""
    standby = cluster.standby
    standby.send(signal.SIGSTOP)
    try:
        sleep(5 * PAUSE)
    finally:
        standby.send(signal.SIGCONT)


FAULTS = (kill_primary, freeze_primary, crash_primary, kill_standby, freeze_standby)


def _inject(fault: Callable[[Cluster], None], cluster: Cluster, log: Path) -> None:
    """Inject a fault, wait until the cluster is complete, and report the outage."""
    lines, started_at = len(log.read_text().splitlines()), datetime.now(UTC)
    fault(cluster)
    sleep(PAUSE)
    cluster.wait_until_complete()
    sleep(PAUSE)
    answers = list(_answers(log, lines))
    successes = [started_at, *(at for at, status in answers if status < 300)]
    gaps = [(later - at).total_seconds() for at, later in pairwise(successes)]
    counts = dict(Counter(status for _, status in answers))
    print(f"{fault.__name__}: {max(gaps, default=0):.1f} s without a success, {counts}", flush=True)


def _answers(log: Path, start: int = 0) -> Iterator[tuple[datetime, int]]:
    """Yield when the service answered POST, and how, from a line of its log on."""
    for line in log.read_text().splitlines()[start:]:
        with_status = json.loads(line) if line.startswith("{") else {}
        if with_status.get("method") == "POST":
            yield datetime.fromisoformat(with_status["at"]), with_status["status"]


class BackendWatcher(threading.Thread):
    """Counts the backends of the service on each member, all the time."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster, self.largest = cluster, 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            counts = [row[0] for m in self.cluster.members for row in m.execute(COUNT_BACKENDS)]
            self.largest = max(self.largest, *counts, 0)


def _report(clients: list[Client]) -> None:
    actions = [action for client in clients for action in client.actions]
    print(f"actions: {len(actions)}, requests: {sum(action.attempts for action in actions)}")
    responses = Counter(f"{action.kind} {action.status}" for action in actions)
    print(f"responses: {dict(responses.most_common())}")


def _check_service(service: Service, workers: list[int], watcher: BackendWatcher) -> Iterator[str]:
    print(f"most backends on a member: {watcher.largest} of {MAX_BACKENDS}")
    if watcher.largest > MAX_BACKENDS:
        yield f"{watcher.largest} backends, not {MAX_BACKENDS}"
    if service.workers() != workers:
        yield "workers were replaced"
    statuses = {status for _, status in _answers(service.log)}
    if statuses - EXPECTED_STATUSES:
        yield f"responses with the statuses {sorted(statuses - EXPECTED_STATUSES)}"


if __name__ == "__main__":
    main()
