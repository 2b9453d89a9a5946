"""Break the service while clients buy and sell, and check that every response was true.

    python -m tests.faults.crashes [--seed N] [--seconds 90] [--defect NAME]

Exit with 1 if an acknowledged change is missing, is stored twice, or sums are wrong. With a defect,
which is put into the service or the clients, this must happen.
"""

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, NoReturn
from uuid import UUID

import alembic.command
from sqlalchemy import URL, Connection, NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import verify
from alchemist.cli.verify import derived_columns
from alchemist.domains.users import token_format
from alchemist.embedded import EmbeddedPostgres
from tests import processes
from tests.faults.chaos import Chaos
from tests.faults.clients import Client, Shop
from tests.faults.purging import Purger
from tests.faults.shop import ORDER_TTL, THREADS, WORKERS, Service

CLIENTS = 8
PRODUCTS, STOCK, USES, SELLERS = 12, 100_000, 100_000, 3
# Sockets, the log, the shared page, and a connection to the database for each thread, twice.
MAX_FILES = 30 + 4 * THREADS
CLOSE_TIMEOUT = 15  # seconds, after which unused connections are closed
DEFECTS = (
    *("no-key", "read-modify-write", "unguarded-coupon", "stock-returned-twice"),
    "early-fulfilment",
)

FILL = """
    INSERT INTO users (pk, email, email_folded, full_name, role)
    SELECT gen_random_uuid(), email, email, 'Seller', 'merchant'
    FROM (SELECT n || '@sellers.example' AS email FROM generate_series(1, {sellers}) n) AS emails;
    INSERT INTO stores (pk, owner_id, name, street, zipcode, city, country, currency)
    SELECT gen_random_uuid(), pk, 'Store', 'Street', '1', 'City', 'Country', 'EUR' FROM users;
    INSERT INTO products (pk, store_id, currency, name, price, stock)
    SELECT gen_random_uuid(), stores.pk, currency, 'Product ' || n, n * 1.37, {stock}
    FROM generate_series(1, {products}) n
    JOIN (SELECT *, row_number() OVER () AS number FROM stores) AS stores
        ON number = 1 + n % {sellers};
    INSERT INTO coupons (pk, code, code_folded, init_count, remaining_count, percent_off)
    SELECT gen_random_uuid(), code, code, {uses}, {uses}, 7
    FROM unnest(ARRAY['single', 'orders']) code;
"""
ADD_TOKEN = text("""
    INSERT INTO tokens (pk, user_id, label, digest, expires_at)
    VALUES (gen_random_uuid(), :owner_id, 'Seller', :digest, now() + interval '1 day')
""")
# What the service has stored, to be compared with its responses.
STORED = """
    SELECT
        (SELECT count(*) FROM orders) AS orders,
        (SELECT count(*) FROM redemptions WHERE order_id IS NULL) AS redemptions,
        (SELECT sum({stock} - stock) FROM products) AS sold,
        (SELECT coalesce(sum(taken), 0) FROM order_items JOIN orders ON orders.pk = order_id
            WHERE status <> 'cancelled') AS taken
"""

FULFILLED = """
    SELECT order_id::text, store_id::text, bool_and(fulfilled_at IS NOT NULL) AS all_are,
        bool_or(fulfilled_at IS NOT NULL) AS some_are
    FROM order_items GROUP BY order_id, store_id
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--defect", choices=DEFECTS, default="")
    parser.add_argument(
        "--log", type=Path, default=Path(os.devnull), help="a copy of the service's log"
    )
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:.0f} s, defect: {options.defect or 'none'}")
    run_and_exit(
        lambda home: _run(home, options.seed, options.seconds, options.defect), options.log
    )


def run_and_exit(find_violations: Callable[[Path], Iterator[str]], log: Path) -> NoReturn:
    """Print all violations in a temporary directory, and processes that are left; copy the log."""
    with TemporaryDirectory(prefix="alchemist-faults-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        try:
            violations = list(find_violations(directory))
        finally:
            if (directory / "gunicorn.log").exists():
                log.write_bytes((directory / "gunicorn.log").read_bytes())
        if left := processes.find(directory):
            violations.append(f"processes {left} are left")
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(violations)} violations")
    sys.exit(1 if violations else 0)


def _run(directory: Path, seed: int, seconds: float, defect: str) -> Iterator[str]:
    with ExitStack() as running:
        server = running.enter_context(EmbeddedPostgres(directory / "data"))
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        engine = create_engine(server.url, poolclass=NullPool)
        with engine.begin() as connection:
            shop = open_shop(connection)
        service = running.enter_context(Service(server.url, directory, defect))
        clients = [Client(service.port, seed + n, shop, defect != "no-key") for n in range(CLIENTS)]
        for client in clients:
            client.start()
        purger = Purger(service.environment, directory, seed)
        purger.start()
        chaos = Chaos(seed, service, server, service.kill_file)
        chaos.inject_faults(seconds)
        yield from stop_clients(clients)
        purger.stop()
        with engine.connect() as connection:
            yield from purger.unreleased_orders(connection, ORDER_TTL)
            _report(clients, chaos, purger)
            yield from false_responses(connection, clients)
            yield from _resource_leaks(connection, service)
        yield from broken_invariants(server.url)


def open_shop(connection: Connection) -> Shop:
    sizes = {"stock": STOCK, "products": PRODUCTS, "uses": USES, "sellers": SELLERS}
    connection.execute(text(FILL.format(**sizes)))
    derived_columns.recompute(connection)
    products = connection.scalars(text("SELECT pk::text FROM products ORDER BY pk")).all()
    coupon = connection.scalar(text("SELECT pk::text FROM coupons WHERE code = 'single'"))
    stores = connection.execute(text("SELECT pk::text, owner_id FROM stores")).all()
    sellers = {pk: _sign_in(connection, owner_id) for pk, owner_id in stores}
    return Shop(list(products), coupon, "orders", sellers)


def _sign_in(connection: Connection, owner_id: UUID) -> str:
    """Return a new token of a user."""
    token = token_format.generate()
    connection.execute(ADD_TOKEN, {"owner_id": owner_id, "digest": token_format.digest(token)})
    return token


def stop_clients(clients: list[Client]) -> Iterator[str]:
    """Wait for the last response of every client."""
    for client in clients:
        client.stopped.set()
    for client in clients:
        client.join(120)
        if client.is_alive() or client.failure:
            yield f"a client got no response: {client.failure}"


def _report(clients: list[Client], chaos: Chaos, purger: Purger) -> None:
    actions = [action for client in clients for action in client.actions]
    print(f"actions: {len(actions)}, requests: {sum(action.attempts for action in actions)}")
    responses = Counter(f"{action.kind} {action.status}" for action in actions)
    print(f"responses: {dict(responses.most_common())}")
    print(f"purges by exit code: {dict(purger.exit_codes)}, {purger.cancelled} orders cancelled")
    print(f"faults: {sum(chaos.injected.values())}, {dict(chaos.injected.most_common())}")


def false_responses(connection: Connection, clients: list[Client]) -> Iterator[str]:
    """Compare the responses with what is stored."""
    actions = [action for client in clients for action in client.actions]
    acknowledged = Counter(action.kind for action in actions if action.status == 201)
    stored = connection.execute(text(STORED.format(stock=STOCK))).one()
    if stored.orders != acknowledged["order"]:
        yield f"{acknowledged['order']} orders were acknowledged, {stored.orders} are stored"
    if stored.redemptions != acknowledged["redemption"]:
        yield f"{acknowledged['redemption']} redemptions acknowledged, {stored.redemptions} stored"
    if stored.sold != stored.taken:
        yield f"{stored.sold} pieces are missing in the stock, {stored.taken} were sold"
    for action in actions:
        if action.status not in (200, 201, 409):
            yield f"{action.kind} got {action.status}: {action.response}"
    yield from _lost_changes(connection, actions)
    yield from _false_fulfilments(connection, clients)


def _lost_changes(connection: Connection, actions: list[Any]) -> Iterator[str]:
    """Find heroes, orders and changes of orders that were acknowledged and are not stored."""
    heroes = set(connection.scalars(text("SELECT pk::text FROM heroes")))
    rows = connection.execute(text("SELECT pk::text, status FROM orders")).all()
    status = {row.pk: row.status for row in rows}
    fulfilled = ("partially_fulfilled", "fulfilled")
    final = {
        "pay": ("paid", "cancelled", *fulfilled),
        "cancel": ("cancelled",),
        "fulfil": fulfilled,
    }
    for action in actions:
        stored = {"order": status, "hero": heroes}.get(action.kind)
        if stored is not None and action.status == 201 and action.response["pk"] not in stored:
            yield f"{action.kind} {action.response['pk']} was acknowledged and is not stored"
        if action.kind in final and action.status == 200:
            stored_status = status.get(action.response["pk"])
            if stored_status not in final[action.kind]:
                yield f"order {action.response['pk']} is {stored_status} after {action.kind}"


def _false_fulfilments(connection: Connection, clients: list[Client]) -> Iterator[str]:
    """Find items that are fulfilled without a response to their seller, or the other way round."""
    acknowledged = {
        (action.response["pk"], action.token)
        for client in clients
        for action in client.actions
        if action.kind == "fulfil" and action.status == 200
    }
    sellers = clients[0].shop.sellers
    for row in connection.execute(text(FULFILLED)):
        is_acknowledged = (row.order_id, sellers[row.store_id]) in acknowledged
        if (row.all_are, row.some_are) != (is_acknowledged, is_acknowledged):
            yield (
                f"order {row.order_id}, store {row.store_id}: the fulfilment was "
                f"{'' if is_acknowledged else 'not '}acknowledged; stored: {row.some_are}"
            )


def broken_invariants(url: URL) -> Iterator[str]:
    for verdict in verify.evaluate_all(url):
        if not verdict.passed:
            yield f"{verdict.assertion.name}: {verdict.count} violations, {verdict.keys}"


def _resource_leaks(connection: Connection, service: Service) -> Iterator[str]:
    """Find connections, processes and files that are no longer needed."""
    deadline = monotonic() + CLOSE_TIMEOUT
    while len(service.workers()) != WORKERS and monotonic() < deadline:
        sleep(0.1)
    if len(service.workers()) != WORKERS:
        yield f"{len(service.workers())} workers, not {WORKERS}"
    count = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alchemist'")
    if (open_ := connection.scalar(count)) > 2 * WORKERS * THREADS:
        yield f"{open_} connections to the database"
    if max(service.files()) > MAX_FILES:
        yield f"{service.files()} files are open"


if __name__ == "__main__":
    main()
