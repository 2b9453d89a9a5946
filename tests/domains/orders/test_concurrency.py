"""Orders that many place, pay, fulfil and cancel at once: nothing is sold twice or given twice."""

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
def sound(module_database):
    """Fail the test if the database contradicts itself after it."""
    yield
    assert failed_verdicts(module_database) == []


def failed_verdicts(database):
    return [verdict for verdict in verify.run(database) if not verdict.passed]


def offer(client, how_many, currency="EUR", **values):
    """Return new products of a new store, at 10.00 each."""
    store = client.create("stores", name="Store", currency=currency, **ADDRESS)["pk"]
    return [
        client.create(
            "products",
            **{"store_id": store, "name": f"Product {next(serial)}", "price": "10.00"} | values,
        )
        for _ in range(how_many)
    ]


def wanted(*products, quantity=1, **values):
    return {"items": [{"product_id": one["pk"], "quantity": quantity} for one in products]} | values


def order(*products, **values):
    """Return the job that orders."""
    return partial(Client.post, path="orders", body=wanted(*products, **values))


def transition(placed, verb):
    return partial(Client.post, path=f"orders/{placed['pk']}/{verb}")


def stock(client, product):
    return client.get(f"products/{product['pk']}")["stock"]


def sold(answers):
    """Return how many of each product the orders that were placed have in all."""
    found = Counter()
    for answer in answers:
        for item in json.loads(answer.body)["items"] if answer.status == 201 else []:
            found[item["product_id"]] += item["quantity"]
    return found


def crossing_orders(products, how_many):
    """Return jobs that order up to five of the products each, in whatever order of lines."""
    dice = random.Random(4)
    for _ in range(how_many):
        lines = dice.sample(products, dice.randint(2, 5))
        yield order(*lines, quantity=dice.randint(1, 3))


# Stock


def sell_out(server, client):
    """Let a crowd want more of each of eight products than there is."""
    products = offer(client, 8, stock=50)
    answers = run_concurrently(server, crossing_orders(products, 200))
    taken = {one["pk"]: 50 - stock(client, one) for one in products}
    assert {answer.status for answer in answers} == {201, 409}
    refused = [codes(answer) for answer in answers if answer.status == 409]
    assert refused == [{"out-of-stock"}] * len(refused)
    assert sold(answers) == taken
    assert max(taken.values()) == 50


def test_stock_decreases_by_the_quantity_that_is_sold(shared_gunicorn, client, sound):
    sell_out(shared_gunicorn, client)


def test_orders_do_not_deadlock_with_any_join(fresh_database, tmp_path):
    """A loop locks rows in the order of the lines, a hash join in an order of its own."""
    engine = create_engine(fresh_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    change = f'ALTER DATABASE "{fresh_database.database}" SET'
    with (
        engine.connect() as connection,
        Gunicorn(fresh_database, tmp_path) as server,
        Client(server) as client,
    ):
        # Sooner than anybody gives up waiting for a lock, so that each one is counted.
        connection.execute(text(f"{change} deadlock_timeout = '50ms'"))
        for joins in ("enable_nestloop", "enable_hashjoin"):
            connection.execute(text(f"{change} {joins} = off"))
            connection.execute(RECONNECT)
            sell_out(server, client)
            connection.execute(text(f"{change} {joins} = on"))
        # What a backend has met it tells at its end.
        connection.execute(RECONNECT)
        assert connection.scalar(DEADLOCKS) == 0
    assert failed_verdicts(fresh_database) == []


def test_every_snapshot_during_concurrent_orders_is_consistent(
    shared_gunicorn, client, module_database
):
    """What is looked at from outside never shows a half of an order."""
    products = [*offer(client, 3, stock=30), *offer(client, 2, "USD", price="0.99")]
    code = client.create("coupons", code="Busy", init_count=30, percent_off=33)["code"]
    over, found = Event(), []

    def watch():
        while not over.is_set():
            found.append(failed_verdicts(module_database))

    def live(client):
        answer = order(*random.sample(products, 4), coupon_code=code)(client)
        if answer.status == 201 and random.random() < 0.7:
            transition(json.loads(answer.body), "cancel")(client)
        return answer

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        answers = run_concurrently(shared_gunicorn, [live] * 80)
        over.set()
        watching.result()
    assert {answer.status for answer in answers} <= {201, 409}
    assert len(found) > 1
    assert not any(found)


def test_an_order_that_fails_on_its_last_item_changes_nothing(
    shared_gunicorn, client, module_database, sound
):
    products, [rare] = offer(client, 4, stock=5), offer(client, 1, stock=1)
    coupon = client.create("coupons", code="Vain", init_count=5, percent_off=10)
    engine = create_engine(module_database, poolclass=NullPool)
    rows = text(
        "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_items),"
        " (SELECT count(*) FROM redemptions), (SELECT count(*) FROM audit_log)"
    )
    with engine.connect() as connection:
        before = connection.execute(rows).one()
        vain = wanted(*products, rare, quantity=2, coupon_code=coupon["code"])
        keyed = [
            partial(Client.post, path="orders", body=vain, **{"Idempotency-Key": f"vain-{number}"})
            for number in range(10)
        ]
        answers = run_concurrently(
            shared_gunicorn, [*keyed, *[partial(Client.post, path="orders", body=vain)] * 10]
        )
        connection.rollback()
        assert connection.execute(rows).one() == before
    assert [codes(answer) for answer in answers] == [{"out-of-stock"}] * 20
    assert [stock(client, one) for one in [*products, rare]] == [5, 5, 5, 5, 1]
    assert client.get(f"coupons/{coupon['pk']}")["remaining_count"] == 5


def test_concurrent_restocks_and_orders_lose_no_update(shared_gunicorn, client, sound):
    [product] = offer(client, 1, stock=10)
    restock = partial(Client.post, path=f"products/{product['pk']}/restock", body={"quantity": 3})
    answers = run_concurrently(shared_gunicorn, [order(product), order(product), restock] * 30)
    restocked = [answer for answer in answers if answer.status == 200]
    assert len(restocked) == 30
    left = 10 + 3 * 30 - sold(answers)[product["pk"]]
    assert stock(client, product) == left
    assert {answer.status for answer in answers} <= {200, 201, 409}


def placed_behind(change, database, product, client, meanwhile=lambda: None, **values):
    """Return the answer to an order that waits until a change of its product is committed."""
    with (
        create_engine(database, poolclass=NullPool).connect() as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        connection.execute(text(f"UPDATE products SET {change} WHERE pk = '{product['pk']}'"))
        answer = pool.submit(order(product, **values), client)
        await_a_waiter(connection)
        meanwhile()
        connection.commit()
        return answer.result()


def test_an_order_that_waits_for_a_restock_uses_the_new_stock(client, module_database):
    """The row that it found when it began had nothing left, and less than nothing is refused."""
    [product] = offer(client, 1, stock=0)
    assert placed_behind("stock = 1", module_database, product, client).status == 201
    assert stock(client, product) == 0


# Prices


def test_nobody_pays_a_price_that_differs_from_the_expected_one(shared_gunicorn, client, sound):
    [product] = offer(client, 1)
    expected = [{"currency": "EUR", "total": "20.00"}]
    changes = [
        partial(Client.patch, path=f"products/{product['pk']}", body={"price": price})
        for price in ("11.00", "10.00")
    ]
    buy = order(product, quantity=2, expected_totals=expected)
    answers = run_concurrently(shared_gunicorn, [changes[0], buy, buy, changes[1], buy, buy] * 15)
    placed = [json.loads(answer.body) for answer in answers if answer.status == 201]
    assert {one["totals"][0]["total"] for one in placed} == {"20.00"}
    assert {one["items"][0]["unit_price"] for one in placed} == {"10.00"}
    refused = [codes(answer) for answer in answers if answer.status == 409]
    assert refused == [{"price-changed"}] * (60 - len(placed))


@pytest.fixture
def moved(shared_gunicorn, client, module_database):
    """Return what orders while price and currency change: 10.00 EUR become 1500 JPY."""

    def call(**values):
        [product] = offer(client, 1)

        def move():
            with Client(shared_gunicorn) as merchant:
                changed = merchant.patch(f"stores/{product['store_id']}", {"currency": "JPY"})
                assert changed.status == 200

        answer = placed_behind("price = 1500", module_database, product, client, move, **values)
        return answer.status, json.loads(answer.body)

    return call


def test_a_new_price_is_never_combined_with_the_old_currency_in_an_order(moved):
    """The store's row that an order found when it began may be older than the product's."""
    status, placed = moved()
    [line] = placed["items"]
    assert (status, line["unit_price"], line["currency"]) == (201, "1500.00", "JPY")


def test_a_new_price_is_never_combined_with_the_old_currency_in_an_error(moved):
    status, refused = moved(expected_totals=[{"currency": "EUR", "total": "10.00"}])
    [entry] = refused["errors"]
    assert (status, entry["totals"]) == (409, [{"currency": "JPY", "total": "1500.00"}])


def test_placed_at_is_the_time_after_the_lock_wait(moved):
    """That is after the wait for them, and not when the request began."""
    _, placed = moved()
    assert placed["placed_at"] > placed["created_at"]


# Once and not twice


def test_concurrent_requests_with_one_key_place_one_order(shared_gunicorn, client, sound):
    [product] = offer(client, 1, stock=10)

    def order_until_placed(client):
        deadline = monotonic() + TIMEOUT
        while True:
            answer = order(product, quantity=2)(client, **{"Idempotency-Key": "once"})
            if answer.status != 409:
                return answer
            assert codes(answer) == {"request-in-progress"}
            assert monotonic() < deadline
            seen.append(answer)

    seen = []
    answers = run_simultaneously(shared_gunicorn, *[order_until_placed] * 20)
    assert statuses(answers) == [201] * 20
    assert len({answer.body for answer in answers}) == 1
    replayed = [answer for answer in answers if "Idempotent-Replayed" in answer.headers]
    assert len(replayed) == 19
    assert stock(client, product) == 8


def test_fulfilling_and_cancelling_concurrently_has_one_winner(shared_gunicorn, client, sound):
    [product] = offer(client, 1, stock=25)
    won = Counter()
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
        won[winner["status"]] += 1
    assert stock(client, product) == 25 - won["fulfilled"]


def test_concurrent_cancellations_return_stock_once(shared_gunicorn, client, sound):
    products = offer(client, 3, stock=10)
    coupon = client.create("coupons", code="Returned", init_count=5, percent_off=50)
    for _ in range(5):
        answer = order(*products, quantity=4, coupon_code=coupon["code"])(client)
        placed = json.loads(answer.body)
        answers = run_simultaneously(shared_gunicorn, *[transition(placed, "cancel")] * 8)
        assert statuses(answers) == [200, *[409] * 7]
        assert [stock(client, one) for one in products] == [10, 10, 10]
        assert client.get(f"coupons/{coupon['pk']}")["remaining_count"] == 5


# Gone


def test_a_referenced_row_is_deleted_before_the_order_or_not_at_all(shared_gunicorn, client, sound):
    """A product, a coupon or a hero that is deleted while somebody orders with it."""
    for number in range(15):
        [product] = offer(client, 1, stock=1)
        coupon = client.create("coupons", code=f"Fleeting {number}", init_count=1)
        hero = client.create("heroes", nickname=f"Fleeting {number}")
        gone = [f"products/{product['pk']}", f"coupons/{coupon['pk']}", f"heroes/{hero['pk']}"]
        buy = order(product, coupon_code=coupon["code"], hero_id=hero["pk"])
        jobs = [*(partial(Client.delete, path=path) for path in gone), buy]
        *deletions, placed = run_simultaneously(shared_gunicorn, *jobs)
        if placed.status == 201:
            assert statuses(deletions) == [409] * 3
        else:
            assert placed.status == 422
            assert codes(placed) == {"unknown-reference"}
            assert statuses(deletions) == [204] * 3
