"""An order that is not paid expires, once; a user may have a number of them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import NullPool, create_engine, select, text

from alchemist import database as db
from alchemist.cli import verify
from alchemist.domains.orders import service
from alchemist.domains.orders.models import Order
from tests.domains.orders.shop import URL, coupon_mismatches, item, remaining, stock, transition
from tests.factories import make_coupon, make_order, make_product, make_user, sign_in
from tests.servers import TIMEOUT

EXPIRED = timedelta(seconds=-1)


@pytest.fixture
def limits(app, monkeypatch):
    """Return a function that sets the limits of orders."""

    def call(**values):
        limits = app.extensions["order_limits"] | values
        monkeypatch.setitem(app.extensions, "order_limits", limits)

    return call


def test_a_placed_order_says_when_it_expires(place, limits):
    limits(ttl=timedelta(minutes=5))
    placed = place(item(make_product())).json
    times = [datetime.fromisoformat(placed[name]) for name in ("placed_at", "expires_at")]
    assert times[1] - times[0] == timedelta(minutes=5)


@pytest.mark.parametrize("action", ["pay", "cancel"])
def test_an_order_that_is_paid_or_cancelled_does_not_expire(
    client_with_auth, place, buyer_headers, action
):
    pk = place(item(make_product())).json["pk"]
    answer = transition(client_with_auth, pk, action, headers=buyer_headers)
    assert answer.json["expires_at"] is None
    assert service.cancel_one_expired_order() is None


def test_an_expired_order_cannot_be_paid(client_with_auth, place, limits, buyer_headers):
    limits(ttl=EXPIRED)
    placed = place(item(make_product()))
    answer = client_with_auth.post(f"{placed.location}/pay", headers=buyer_headers)
    assert (answer.status_code, answer.json["code"]) == (409, "order-expired")
    fetched = client_with_auth.get(placed.location, headers=buyer_headers).json
    assert (fetched["status"], fetched["allowed_transitions"]) == ("placed", ["cancel"])
    transition(client_with_auth, placed.json["pk"], "cancel", headers=buyer_headers)


def test_the_stock_and_the_coupon_of_an_expired_order_are_free_again(
    client_with_auth, place, limits, buyer_headers
):
    product, coupon = make_product(stock=3), make_coupon(per_user_limit=1)
    limits(ttl=EXPIRED)
    expired = place(item(product, 3), coupon_code=coupon.code)
    assert place(item(product)).status_code == 409
    limits(ttl=timedelta(days=1))
    assert service.cancel_one_expired_order() is not None
    assert service.cancel_one_expired_order() is None
    db.session.commit()
    assert (stock(product), remaining(coupon), coupon_mismatches()) == (3, 10, [])
    fetched = client_with_auth.get(expired.location, headers=buyer_headers).json
    assert (fetched["status"], fetched["expires_at"]) == ("cancelled", None)
    assert place(item(product, 3), coupon_code=coupon.code).status_code == 201


def test_an_order_that_is_not_expired_is_kept(client):
    order = make_order(ttl=timedelta(minutes=1))
    assert service.cancel_one_expired_order() is None
    assert db.session.get(Order, order.pk).status == "placed"


def test_concurrent_commands_and_requests_release_an_order_once(
    make_committing_app, fresh_database
):
    """Of commands, cancellations and payments, exactly one ends each order."""
    app = make_committing_app(threads=8)
    product, coupon = make_product(stock=30), make_coupon(init_count=30, percent_off=5)
    pks = [make_order(product, coupon_code=coupon.code, ttl=EXPIRED).pk for _ in range(20)]
    pks += [make_order(product, coupon_code=coupon.code).pk for _ in range(10)]
    db.session.commit()

    def expire():
        count = 0
        while True:
            with db.session.begin():
                order = service.cancel_one_expired_order()
            db.session.remove()
            if order is None:
                return count
            count += 1

    def request(pk):
        action = "cancel" if pk.int % 2 else "pay"
        return action, app.test_client().post(f"{URL}/{pk}/{action}").status_code

    with ThreadPoolExecutor(8) as pool:
        commands = [pool.submit(expire) for _ in range(3)]
        answers = [future.result(TIMEOUT) for future in [pool.submit(request, pk) for pk in pks]]
        expired = sum(command.result(TIMEOUT) for command in commands)
    engine = create_engine(fresh_database, poolclass=NullPool)
    with engine.connect() as connection:
        rows = connection.execute(select(Order.status)).scalars().all()
        stored = connection.scalar(text("SELECT stock FROM products"))
    cancelled = answers.count(("cancel", 200))
    # Whoever skipped a locked order has left it to the request that locked it.
    left = rows.count("placed")
    assert rows.count("cancelled") == expired + cancelled
    assert answers.count(("pay", 200)) == rows.count("paid")
    assert stored == 30 - rows.count("paid") - left
    assert [verdict for verdict in verify.evaluate_all(fresh_database) if not verdict.passed] == []


def test_a_user_may_have_a_number_of_open_orders(client_with_auth, place, limits, buyer_headers):
    limits(max_open_orders=2)
    product = make_product(stock=9)
    first, _ = [place(item(product)) for _ in range(2)]
    answer = place(item(product))
    assert (answer.status_code, answer.json["code"]) == (409, "too-many-open-orders")
    assert stock(product) == 7
    assert place(item(product), headers=sign_in(make_user())).status_code == 201
    transition(client_with_auth, first.json["pk"], "pay", headers=buyer_headers)
    assert place(item(product)).status_code == 201


def test_concurrent_orders_keep_the_number_of_open_orders(make_committing_app, fresh_database):
    app = make_committing_app(threads=8, open_access=False, max_open_orders=3)
    headers, pk = sign_in(make_user()), make_product().pk
    db.session.commit()
    body = {"items": [{"product_id": str(pk), "quantity": 1}]}

    def order(_number):
        return app.test_client().post(URL, json=body, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(order, range(16)))
    assert sorted(statuses) == [201] * 3 + [409] * 13
    with create_engine(fresh_database, poolclass=NullPool).connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM orders")) == 3
