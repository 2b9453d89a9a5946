"""Lets clients buy while things break, and checks that every answer was true.

    python -m tests.faults.crashes [--seed N] [--seconds 90] [--defect NAME]

Exits with 1 if something acknowledged is missing, is there twice, or does not add up. With a
defect, which it plants in the service or in the clients, it must.
"""

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

import alembic.command
from sqlalchemy import URL, Connection, NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import verify
from alchemist.embedded import EmbeddedPostgres
from tests import processes
from tests.faults.chaos import Chaos
from tests.faults.clients import Client, Shop
from tests.faults.shop import THREADS, WORKERS, Service

CLIENTS = 8
PRODUCTS, STOCK, USES = 12, 100_000, 100_000
# Sockets, the log, the shared page, and a connection to the database for each thread, twice.
MOST_FILES = 30 + 4 * THREADS
SETTLED = 15  # seconds within which connections that nobody uses are gone
DEFECTS = ("no-key", "read-modify-write", "unguarded-coupon")

FILL = """
    INSERT INTO stores (pk, name, street, zipcode, city, country, currency)
    SELECT gen_random_uuid(), 'Store', 'Street', '1', 'City', 'Country', 'EUR';
    INSERT INTO products (pk, store_id, currency, name, price, stock)
    SELECT gen_random_uuid(), stores.pk, currency, 'Product ' || n, n * 1.37, {stock}
    FROM stores, generate_series(1, {products}) n;
    INSERT INTO coupons (pk, code, code_folded, init_count, remaining_count, percent_off)
    SELECT gen_random_uuid(), code, code, {uses}, {uses}, 7
    FROM unnest(ARRAY['single', 'orders']) code;
"""
# What the service has stored, to be compared with what it has said.
STORED = """
    SELECT
        (SELECT count(*) FROM orders) AS orders,
        (SELECT count(*) FROM redemptions WHERE order_id IS NULL) AS redemptions,
        (SELECT sum({stock} - stock) FROM products) AS sold,
        (SELECT coalesce(sum(taken), 0) FROM order_items JOIN orders ON orders.pk = order_id
            WHERE status <> 'cancelled') AS taken
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--defect", choices=DEFECTS, default="")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="what the service says")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:.0f} s, defect: {options.defect or 'none'}")
    violations = run(options.seed, options.seconds, options.defect, options.log)
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(violations)} violations")
    sys.exit(1 if violations else 0)


def run(seed: int, seconds: float, defect: str, log: Path) -> list[str]:
    """Return every violation that was found."""
    with TemporaryDirectory(prefix="alchemist-faults-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        try:
            violations = list(_run(directory, seed, seconds, defect))
        finally:
            log.write_bytes((directory / "gunicorn.log").read_bytes())
        left = processes.find(directory)
    return violations + ([f"processes {left} are left"] if left else [])


def _run(directory: Path, seed: int, seconds: float, defect: str) -> Iterator[str]:
    with ExitStack() as running:
        server = running.enter_context(EmbeddedPostgres(directory / "data"))
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        engine = create_engine(server.url, poolclass=NullPool)
        with engine.begin() as connection:
            shop = _open_shop(connection)
        service = running.enter_context(Service(server.url, directory, defect))
        clients = [Client(service.port, seed + n, shop, defect != "no-key") for n in range(CLIENTS)]
        for client in clients:
            client.start()
        chaos = Chaos(seed, service, server, service.last_words)
        chaos.rage(seconds)
        yield from _settled(clients)
        _report(clients, chaos)
        with engine.connect() as connection:
            yield from _lies(connection, clients)
            yield from _leaks(connection, service)
        yield from _damage(server.url)


def _open_shop(connection: Connection) -> Shop:
    connection.execute(text(FILL.format(stock=STOCK, products=PRODUCTS, uses=USES)))
    products = connection.scalars(text("SELECT pk::text FROM products ORDER BY pk")).all()
    coupon = connection.scalar(text("SELECT pk::text FROM coupons WHERE code = 'single'"))
    return Shop(list(products), coupon, "orders")


def _settled(clients: list[Client]) -> Iterator[str]:
    """Let every client get its last answer."""
    for client in clients:
        client.over.set()
    for client in clients:
        client.join(120)
        if client.is_alive() or client.failure:
            yield f"a client got no answer: {client.failure}"


def _report(clients: list[Client], chaos: Chaos) -> None:
    acts = [act for client in clients for act in client.acts]
    print(f"acts: {len(acts)}, requests: {sum(act.tries for act in acts)}")
    print(f"answers: {dict(Counter(f'{act.kind} {act.status}' for act in acts).most_common())}")
    print(f"faults: {sum(chaos.injected.values())}, {dict(chaos.injected.most_common())}")


def _lies(connection: Connection, clients: list[Client]) -> Iterator[str]:
    """Compare what was said with what is stored."""
    acts = [act for client in clients for act in client.acts]
    said = Counter(act.kind for act in acts if act.status == 201)
    stored = connection.execute(text(STORED.format(stock=STOCK))).one()
    if stored.orders != said["order"]:
        yield f"{said['order']} orders were acknowledged, {stored.orders} are stored"
    if stored.redemptions != said["redemption"]:
        yield f"{said['redemption']} redemptions acknowledged, {stored.redemptions} are stored"
    if stored.sold != stored.taken:
        yield f"{stored.sold} pieces are gone from the stock, {stored.taken} were sold"
    for act in acts:
        if act.status not in (200, 201, 409):
            yield f"{act.kind} was answered {act.status}: {act.answer}"
    yield from _lost(connection, acts)


def _lost(connection: Connection, acts: list[Any]) -> Iterator[str]:
    """Look for heroes, orders and changes of orders that were acknowledged and are not there."""
    heroes = set(connection.scalars(text("SELECT pk::text FROM heroes")))
    rows = connection.execute(text("SELECT pk::text, status FROM orders")).all()
    status = {row.pk: row.status for row in rows}
    final = {"pay": ("paid", "cancelled"), "cancel": ("cancelled",)}
    for act in acts:
        stored = {"order": status, "hero": heroes}.get(act.kind)
        if stored is not None and act.status == 201 and act.answer["pk"] not in stored:
            yield f"{act.kind} {act.answer['pk']} was acknowledged and is lost"
        if act.kind in final and act.status == 200:
            found = status.get(act.answer["pk"])
            if found not in final[act.kind]:
                yield f"order {act.answer['pk']} is {found} after {act.kind}"


def _damage(url: URL) -> Iterator[str]:
    for verdict in verify.evaluate_all(url):
        if not verdict.passed:
            yield f"{verdict.assertion.name}: {verdict.count} violations, {verdict.keys}"


def _leaks(connection: Connection, service: Service) -> Iterator[str]:
    """Look for connections, processes and files that nobody needs any more."""
    deadline = monotonic() + SETTLED
    while len(service.workers()) != WORKERS and monotonic() < deadline:
        sleep(0.1)
    if len(service.workers()) != WORKERS:
        yield f"{len(service.workers())} workers, not {WORKERS}"
    count = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alchemist'")
    if (open_ := connection.scalar(count)) > 2 * WORKERS * THREADS:
        yield f"{open_} connections to the database"
    if max(service.files()) > MOST_FILES:
        yield f"{service.files()} files are open"


if __name__ == "__main__":
    main()
