"""Concurrent orders: no piece is sold twice, and no stock or coupon is returned twice."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Event
from time import monotonic

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist.cli import verify
from tests.concurrency import (
    Client,
    await_a_waiter,
    codes,
    run_concurrently,
    run_simultaneously,
    statuses,
)
from tests.servers import TIMEOUT, Gunicorn

ADDRESS = {"street": "7 Tallow Lane", "zipcode": "1000", "city": "Brassel", "country": "Belgium"}
DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
RECONNECT = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

pytestmark = pytest.mark.slow
serial = count(1)


@pytest.fixture
def client(shared_gunicorn):
    with Client(shared_gunicorn) as client:
        yield client


@pytest.fixture
def consistent(module_database):
    """Fail the test if `verify` finds an inconsistency after it."""
    yield
    assert failed_verdicts(module_database) == []


def failed_verdicts(database):
    return [verdict for verdict in verify.evaluate_all(database) if not verdict.passed]


def create_products(client, number, currency="EUR", **values):
    """Create products in a new store, at 10.00 each; return them."""
    store = client.create("stores", name="Store", currency=currency, **ADDRESS)["pk"]
    return [
        client.create(
            "products",
            **{"store_id": store, "name": f"Product {next(serial)}", "price": "10.00"} | values,
        )
        for _ in range(number)
    ]


def order_body(*products, quantity=1, **values):
    return {
        "items": [{"product_id": product["pk"], "quantity": quantity} for product in products]
    } | values


def order(*products, **values):
    """Return a job that places an order."""
    return partial(Client.post, path="orders", body=order_body(*products, **values))


def transition(placed, verb):
    return partial(Client.post, path=f"orders/{placed['pk']}/{verb}")


def stock(client, product):
    return client.get(f"products/{product['pk']}")["stock"]


def sold_quantities(answers):
    """Return the total quantity of each product in the placed orders."""
    quantities = Counter()
    for answer in answers:
        for item in json.loads(answer.body)["items"] if answer.status == 201 else []:
            quantities[item["product_id"]] += item["quantity"]
    return quantities


def random_orders(products, number):
    """Yield jobs that order two to five of the products, in random order."""
    rng = random.Random(4)
    for _ in range(number):
        sample = rng.sample(products, rng.randint(2, 5))
        yield order(*sample, quantity=rng.randint(1, 3))


# Stock


def sell_out(server, client):
    """Place concurrent orders that request more of each of eight products than is in stock."""
    products = create_products(client, 8, stock=50)
    answers = run_concurrently(server, random_orders(products, 200))
    reserved = {product["pk"]: 50 - stock(client, product) for product in products}
    assert {answer.status for answer in answers} == {201, 409}
    rejections = [codes(answer) for answer in answers if answer.status == 409]
    assert rejections == [{"out-of-stock"}] * len(rejections)
    assert sold_quantities(answers) == reserved
    assert max(reserved.values()) == 50


def test_stock_decreases_by_the_quantity_that_is_sold(shared_gunicorn, client, consistent):
    sell_out(shared_gunicorn, client)


def test_orders_do_not_deadlock_with_any_join(fresh_database, tmp_path):
    """Without the CTE, a nested loop locks rows in the order of the items, a hash join in any."""
    engine = create_engine(fresh_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    change = f'ALTER DATABASE "{fresh_database.database}" SET'
    with (
        engine.connect() as connection,
        Gunicorn(fresh_database, tmp_path) as server,
        Client(server) as client,
    ):
        # Shorter than the lock timeout, so that every deadlock is detected and counted.
        connection.execute(text(f"{change} deadlock_timeout = '50ms'"))
        for joins in ("enable_nestloop", "enable_hashjoin"):
            connection.execute(text(f"{change} {joins} = off"))
            connection.execute(RECONNECT)
            sell_out(server, client)
            connection.execute(text(f"{change} {joins} = on"))
        # Backends report their statistics at the latest when they end.
        connection.execute(RECONNECT)
        assert connection.scalar(DEADLOCKS) == 0
    assert failed_verdicts(fresh_database) == []


def test_every_snapshot_during_concurrent_orders_is_consistent(
    shared_gunicorn, client, module_database
):
    """Other transactions never see a part of an order."""
    products = [
        *create_products(client, 3, stock=30),
        *create_products(client, 2, "USD", price="0.99"),
    ]
    code = client.create("coupons", code="Busy", init_count=30, percent_off=33)["code"]
    stop, inconsistencies = Event(), []

    def verify_repeatedly():
        while not stop.is_set():
            inconsistencies.append(failed_verdicts(module_database))

    def place_and_cancel(client):
        answer = order(*random.sample(products, 4), coupon_code=code)(client)
        if answer.status == 201 and random.random() < 0.7:
            transition(json.loads(answer.body), "cancel")(client)
        return answer

    with ThreadPoolExecutor(1) as pool:
        verifying = pool.submit(verify_repeatedly)
        answers = run_concurrently(shared_gunicorn, [place_and_cancel] * 80)
        stop.set()
        verifying.result()
    assert {answer.status for answer in answers} <= {201, 409}
    assert len(inconsistencies) > 1
    assert not any(inconsistencies)


def test_an_order_that_fails_on_its_last_item_changes_nothing(
    shared_gunicorn, client, module_database, consistent
):
    products, [rare] = create_products(client, 4, stock=5), create_products(client, 1, stock=1)
    coupon = client.create("coupons", code="Unused", init_count=5, percent_off=10)
    engine = create_engine(module_database, poolclass=NullPool)
    rows = text(
        "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_items),"
        " (SELECT count(*) FROM redemptions), (SELECT count(*) FROM audit_log)"
    )
    with engine.connect() as connection:
        before = connection.execute(rows).one()
        body = order_body(*products, rare, quantity=2, coupon_code=coupon["code"])
        keyed = [
            partial(Client.post, path="orders", body=body, **{"Idempotency-Key": f"key-{number}"})
            for number in range(10)
        ]
        answers = run_concurrently(
            shared_gunicorn, [*keyed, *[partial(Client.post, path="orders", body=body)] * 10]
        )
        connection.rollback()
        assert connection.execute(rows).one() == before
    assert [codes(answer) for answer in answers] == [{"out-of-stock"}] * 20
    assert [stock(client, product) for product in [*products, rare]] == [5, 5, 5, 5, 1]
    assert client.get(f"coupons/{coupon['pk']}")["remaining_count"] == 5


def test_concurrent_restocks_and_orders_lose_no_update(shared_gunicorn, client, consistent):
    [product] = create_products(client, 1, stock=10)
    restock = partial(Client.post, path=f"products/{product['pk']}/restock", body={"quantity": 3})
    answers = run_concurrently(shared_gunicorn, [order(product), order(product), restock] * 30)
    restocked = [answer for answer in answers if answer.status == 200]
    assert len(restocked) == 30
    assert stock(client, product) == 10 + 3 * 30 - sold_quantities(answers)[product["pk"]]
    assert {answer.status for answer in answers} <= {200, 201, 409}


def place_during_change(change, database, product, client, statement="SELECT", **values):
    """Place an order that waits until a change of its product is committed; return the answer."""
    with (
        create_engine(database, poolclass=NullPool).connect() as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        connection.execute(text(f"UPDATE products SET {change} WHERE pk = '{product['pk']}'"))
        answer = pool.submit(order(product, **values), client)
        await_a_waiter(connection)
        connection.execute(text(statement))
        connection.commit()
        return answer.result()


def test_an_order_that_waits_for_a_restock_uses_the_new_stock(client, module_database):
    """In the snapshot of the statement, which is older than the wait, the stock is 0."""
    [product] = create_products(client, 1, stock=0)
    assert place_during_change("stock = 1", module_database, product, client).status == 201
    assert stock(client, product) == 0


# Prices


def test_nobody_pays_a_price_that_differs_from_the_expected_one(
    shared_gunicorn, client, consistent
):
    [product] = create_products(client, 1)
    expected = [{"currency": "EUR", "total": "20.00"}]
    changes = [
        partial(Client.patch, path=f"products/{product['pk']}", body={"price": price})
        for price in ("11.00", "10.00")
    ]
    buy = order(product, quantity=2, expected_totals=expected)
    answers = run_concurrently(shared_gunicorn, [changes[0], buy, buy, changes[1], buy, buy] * 15)
    placed = [json.loads(answer.body) for answer in answers if answer.status == 201]
    assert {order["totals"][0]["total"] for order in placed} == {"20.00"}
    assert {order["items"][0]["unit_price"] for order in placed} == {"10.00"}
    rejections = [codes(answer) for answer in answers if answer.status == 409]
    assert rejections == [{"price-changed"}] * (60 - len(placed))


@pytest.fixture
def place_during_price_change(client, module_database):
    """Return a function that orders while the price changes from 10.00 EUR to 1500 JPY."""

    def call(**values):
        [product] = create_products(client, 1)

        currency = f"UPDATE stores SET currency = 'JPY' WHERE pk = '{product['store_id']}'"
        answer = place_during_change(
            "price = 1500", module_database, product, client, currency, **values
        )
        return answer.status, json.loads(answer.body)

    return call


def test_a_new_price_is_never_combined_with_the_old_currency_in_an_order(place_during_price_change):
    """The currency is read with the price, after the wait; the snapshot is older."""
    status, placed = place_during_price_change()
    [item] = placed["items"]
    assert (status, item["unit_price"], item["currency"]) == (201, "1500", "JPY")


def test_a_new_price_is_never_combined_with_the_old_currency_in_an_error(place_during_price_change):
    status, problem = place_during_price_change(
        expected_totals=[{"currency": "EUR", "total": "10.00"}]
    )
    [error] = problem["errors"]
    assert (status, error["totals"]) == (409, [{"currency": "JPY", "total": "1500"}])


def test_placed_at_is_the_time_after_the_lock_wait(place_during_price_change):
    """The prices are read then, not at the start of the transaction."""
    _, placed = place_during_price_change()
    assert placed["placed_at"] > placed["created_at"]


# Only once


def test_concurrent_requests_with_one_key_place_one_order(shared_gunicorn, client, consistent):
    [product] = create_products(client, 1, stock=10)

    def order_until_placed(client):
        deadline = monotonic() + TIMEOUT
        while True:
            answer = order(product, quantity=2)(client, **{"Idempotency-Key": "once"})
            if answer.status != 409:
                return answer
            assert codes(answer) == {"request-in-progress"}
            assert monotonic() < deadline
            in_progress.append(answer)

    in_progress = []
    answers = run_simultaneously(shared_gunicorn, *[order_until_placed] * 20)
    assert statuses(answers) == [201] * 20
    assert len({answer.body for answer in answers}) == 1
    replayed = [answer for answer in answers if "Idempotent-Replayed" in answer.headers]
    assert len(replayed) == 19
    assert stock(client, product) == 8


def test_fulfilling_and_cancelling_concurrently_has_one_winner(shared_gunicorn, client, consistent):
    [product] = create_products(client, 1, stock=25)
    winners = Counter()
    for _ in range(25):
        placed = json.loads(order(product)(client).body)
        assert transition(placed, "pay")(client).status == 200
        answers = run_simultaneously(
            shared_gunicorn, transition(placed, "fulfil"), transition(placed, "cancel")
        )
        assert statuses(answers) == [200, 409]
        [winner] = [json.loads(answer.body) for answer in answers if answer.status == 200]
        [loser] = [answer for answer in answers if answer.status == 409]
        assert codes(loser) == {"wrong-status"}
        assert client.get(f"orders/{placed['pk']}") == winner
        winners[winner["status"]] += 1
    assert stock(client, product) == 25 - winners["fulfilled"]


def test_concurrent_cancellations_return_stock_once(shared_gunicorn, client, consistent):
    products = create_products(client, 3, stock=10)
    coupon = client.create("coupons", code="Returned", init_count=5, percent_off=50)
    for _ in range(5):
        answer = order(*products, quantity=4, coupon_code=coupon["code"])(client)
        placed = json.loads(answer.body)
        answers = run_simultaneously(shared_gunicorn, *[transition(placed, "cancel")] * 8)
        assert statuses(answers) == [200, *[409] * 7]
        assert [stock(client, product) for product in products] == [10, 10, 10]
        assert client.get(f"coupons/{coupon['pk']}")["remaining_count"] == 5


# Deletion


def test_a_referenced_row_is_deleted_before_the_order_or_not_at_all(
    shared_gunicorn, client, consistent
):
    """A product, a coupon and a hero are deleted while an order refers to them."""
    for number in range(15):
        [product] = create_products(client, 1, stock=1)
        coupon = client.create("coupons", code=f"Deleted {number}", init_count=1)
        hero = client.create("heroes", nickname=f"Deleted {number}")
        paths = [f"products/{product['pk']}", f"coupons/{coupon['pk']}", f"heroes/{hero['pk']}"]
        buy = order(product, coupon_code=coupon["code"], hero_id=hero["pk"])
        jobs = [*(partial(Client.delete, path=path) for path in paths), buy]
        *deletions, placed = run_simultaneously(shared_gunicorn, *jobs)
        if placed.status == 201:
            assert statuses(deletions) == [409] * 3
        else:
            assert placed.status == 422
            assert codes(placed) == {"unknown-reference"}
            assert statuses(deletions) == [204] * 3
