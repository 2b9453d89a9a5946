"""Amounts have the decimals of their currency (ISO 4217)."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from iso4217 import Currency
from sqlalchemy import NullPool, column, create_engine, select, text

from alchemist import database as db
from alchemist.domains.stores.currencies import CURRENCIES, DECIMALS, decimals_sql
from tests.concurrency import await_a_waiter
from tests.factories import make_coupon, make_order, make_product, make_store
from tests.servers import TIMEOUT

URL = "/api/v2/products"
ANY = {"If-Match": "*"}
VALID = [
    ("JPY", "101", "101"),
    ("JPY", "999999999999", "999999999999"),
    ("EUR", "9.9", "9.90"),
    ("EUR", "9", "9.00"),
    ("EUR", "9999999999.99", "9999999999.99"),
    ("KWD", "1.235", "1.235"),
    ("KWD", "999999999.999", "999999999.999"),
    ("CLF", "0.0001", "0.0001"),
]
INVALID = [
    ("JPY", "101.0"),
    ("JPY", "0.5"),
    ("EUR", "9.990"),
    ("EUR", "10000000000"),
    ("KWD", "1.2345"),
    ("KWD", "1000000000"),
    ("CLF", "0.00001"),
]


def body(store, **values):
    return {"name": "Salve", "price": "1", "store_id": str(store.pk)} | values


def test_the_decimals_in_sql_are_those_of_iso_4217(client):
    codes = select(column("code")).select_from(
        text("unnest(CAST(:codes AS text[])) AS codes (code)").bindparams(codes=CURRENCIES)
    )
    rows = db.session.execute(codes.add_columns(decimals_sql(column("code")))).all()
    assert dict(map(tuple, rows)) == {code: Currency(code).exponent for code in CURRENCIES}


@pytest.mark.parametrize(("currency", "sent", "answered"), VALID)
def test_a_price_has_the_decimals_of_its_currency(client, currency, sent, answered):
    store = make_store(currency=currency)
    created = client.post(URL, json=body(store, price=sent))
    assert created.json["price"] == answered
    assert client.get(created.location).json["price"] == answered
    assert client.get(URL).json[0]["price"] == answered
    patched = client.patch(created.location, json={"price": sent}, headers=ANY)
    assert patched.json["price"] == answered
    order = client.post(
        "/api/v2/orders", json={"items": [{"product_id": created.json["pk"], "quantity": 1}]}
    ).json
    assert order["items"][0]["unit_price"] == order["totals"][0]["total"] == answered
    zero = f"{Decimal(0):.{DECIMALS[currency]}f}"
    assert order["totals"][0]["discount"] == zero


@pytest.mark.parametrize(("currency", "sent"), INVALID)
def test_an_amount_that_the_currency_lacks_is_422(client, currency, sent):
    product = make_product(make_store(currency=currency), price=Decimal(1))
    order = {"items": [{"product_id": str(product.pk), "quantity": 1}]}
    totals = [{"currency": currency, "total": sent}]
    for answer, pointer in (
        (client.post(URL, json=body(product, store_id=str(product.store_id), price=sent)), "price"),
        (client.patch(f"{URL}/{product.pk}", json={"price": sent}, headers=ANY), "price"),
        (
            client.post("/api/v2/orders", json=order | {"expected_totals": totals}),
            "expected_totals/0/total",
        ),
    ):
        assert answer.status_code == 422
        [error] = answer.json["errors"]
        assert (error["pointer"], error["code"]) == (f"#/{pointer}", "out-of-range")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_decimals_are_reported_with_all_other_errors(client, method):
    product = make_product(make_store(currency="JPY"))
    url = URL if method == "POST" else f"{URL}/{product.pk}"
    values = {"price": "1.5", "name": "", "potion_id": "01935f2e-7c1a-7b3e-9d3c-0123456789ab"}
    if method == "POST":
        values["store_id"] = str(product.store_id)
    answer = client.open(url, method=method, json=values, headers=ANY)
    pointers = {error["pointer"] for error in answer.json["errors"]}
    assert pointers == {"#/price", "#/name", "#/potion_id"}


def test_the_decimals_are_reported_with_unknown_references(client):
    store = make_store(currency="JPY")
    unknown = "01935f2e-7c1a-7b3e-9d3c-0123456789ab"
    answer = client.post(URL, json=body(store, price="1.5", potion_id=unknown))
    assert {error["pointer"] for error in answer.json["errors"]} == {"#/price", "#/potion_id"}


@pytest.mark.parametrize(
    ("currency", "price", "discount", "total"),
    [
        ("JPY", "101", "7", "94"),
        ("EUR", "9.99", "0.70", "9.29"),
        ("KWD", "1.235", "0.086", "1.149"),
    ],
)
def test_a_discount_is_rounded_to_the_decimals(client, currency, price, discount, total):
    product = make_product(make_store(currency=currency), price=price)
    order = make_order(product, coupon_code=make_coupon(percent_off=7).code)
    [totals] = client.get(f"/api/v2/orders/{order.pk}").json["totals"]
    assert (totals["discount"], totals["total"]) == (discount, total)


def test_a_new_currency_respells_the_prices(client):
    product = make_product(make_store(currency="JPY"), price="100")
    for currency, price in (("EUR", "100.00"), ("KWD", "100.000"), ("JPY", "100")):
        answer = client.patch(
            f"/api/v2/stores/{product.store_id}", json={"currency": currency}, headers=ANY
        )
        assert answer.status_code == 200
        row = client.get(f"{URL}/{product.pk}").json
        assert (row["price"], row["currency"]) == (price, currency)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_currency_that_lacks_a_price_is_409_with_the_product(client, version):
    store = make_store(currency="EUR")
    make_product(store, price="12.50", name="Salve")
    make_product(store, price="12.00", name="Balm")
    answer = client.patch(
        f"/api/{version}/stores/{store.pk}", json={"currency": "JPY", "city": "X"}, headers=ANY
    )
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    [error] = answer.json["errors"]
    assert error["pointer"] == "#/currency"
    assert "“Salve” costs 12.50" in error["detail"]
    stored = client.get(f"/api/v2/stores/{store.pk}").json
    assert (stored["currency"], stored["city"]) == ("EUR", store.city)


def test_the_bounds_of_a_price_filter_may_have_the_decimals_of_any_currency(client):
    make_product(make_store(currency="KWD"), price="1.235")
    assert len(client.get(f"{URL}?min_price=1.235&max_price=1.2350").json) == 1
    assert client.get(f"{URL}?min_price=1.2351").json == []


def test_a_product_is_not_created_at_a_price_that_a_new_currency_lacks(
    make_committing_app, fresh_database
):
    """The currency changes after it was read, while the INSERT waits for the store."""
    app = make_committing_app()
    store = make_store(currency="EUR")
    pk = store.pk
    db.session.commit()
    engine = create_engine(fresh_database, poolclass=NullPool)
    with ThreadPoolExecutor(1) as pool, engine.connect() as other:
        other.execute(text("UPDATE stores SET currency = 'JPY'"))
        values = {"name": "Salve", "price": "1.50", "store_id": str(pk)}
        future = pool.submit(app.test_client().post, URL, json=values)
        await_a_waiter(other)
        other.commit()
        answer = future.result(TIMEOUT)
        assert answer.status_code == 422
        assert answer.json["errors"][0]["pointer"] == "#/price"
        assert other.scalar(text("SELECT count(*) FROM products")) == 0
