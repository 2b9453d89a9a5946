"""The products of v1, key by key."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import NullPool, create_engine, text
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.products.models import Product
from alchemist.v1.fields import MoneyAsNumber
from alchemist.v1.schema import Schema
from tests.answers import error_pointers
from tests.concurrency import await_a_waiter
from tests.factories import make_order, make_potion, make_product, make_store, make_user, sign_in
from tests.properties import given, settings, st
from tests.servers import TIMEOUT

URL = "/api/v1/products/"
KEYS = ["productId", "storeId", "name", "price", "description", "store"]
STORE_KEYS = {
    *("name", "city", "country", "currency", "domain"),
    *("zipcode", "street", "phone", "email", "storeId"),
}
amounts = st.decimals(min_value=0, max_value=Decimal("9999999999.99"), places=2)


@pytest.fixture
def owner(client_with_auth):
    return make_user(role="merchant")


@pytest.fixture
def owner_headers(owner):
    """The headers of a request of the owner."""
    return sign_in(owner)


@pytest.fixture
def store(owner):
    return make_store(owner_id=owner.pk)


@pytest.fixture
def product(store):
    return make_product(store, name="Salve", price=Decimal("9.90"), description="In a jar.")


@pytest.fixture
def create(client_with_auth, store, owner_headers):
    def call(headers=owner_headers, **values):
        body = {"storeId": str(store.pk), "name": "Salve", "price": 9.9} | values
        return client_with_auth.post(URL, json=body, headers=headers)

    return call


def row(product):
    db.session.rollback()
    return db.session.get(Product, product.pk, populate_existing=True)


def test_a_new_product_is_answered_with_201_and_six_keys(client_with_auth, store, create):
    answer = create(description="In a jar.")
    assert answer.status_code == 201
    assert list(answer.json) == KEYS
    assert answer.json == {
        "productId": answer.json["productId"],
        "storeId": str(store.pk),
        "name": "Salve",
        "price": 9.9,
        "description": "In a jar.",
        "store": client_with_auth.get(f"/api/v1/stores/{store.pk}").json,
    }
    assert str(UUID(answer.json["productId"])) == answer.json["productId"]
    assert answer.json["store"].keys() == STORE_KEYS


def test_a_new_product_has_unlimited_stock(create):
    made = db.session.get(Product, UUID(create(stock=3).json["productId"]))
    assert (made.stock, made.potion_id) == (None, None)


def test_a_product_is_found_by_anybody(client_with_auth, product):
    answer = client_with_auth.get(f"{URL}{product.pk}")
    assert answer.status_code == 200
    assert list(answer.json) == KEYS
    assert (answer.json["productId"], answer.json["name"]) == (str(product.pk), "Salve")


def test_the_list_has_all_in_the_order_of_creation(client_with_auth):
    products = [make_product(name=name) for name in "cab"]
    answer = client_with_auth.get(URL)
    assert answer.status_code == 200
    assert [one["productId"] for one in answer.json] == [str(one.pk) for one in products]
    for one, made in zip(answer.json, products, strict=True):
        assert list(one) == KEYS
        assert one["store"].keys() == STORE_KEYS
        assert one["store"]["storeId"] == one["storeId"] == str(made.store_id)


def test_a_list_is_one_statement(client_with_auth, statements):
    for _ in range(3):
        make_product()
    with statements() as seen:
        assert len(client_with_auth.get(URL).json) == 3
    assert len(seen) == 1


# Two names for one field


def test_the_store_is_read_by_either_name(client_with_auth, store, owner_headers):
    for number, name in enumerate(("storeId", "store_id")):
        body = {name: str(store.pk), "name": f"Salve {number}", "price": 1}
        answer = client_with_auth.post(URL, json=body, headers=owner_headers)
        assert (answer.status_code, answer.json["storeId"]) == (201, str(store.pk))


def test_both_names_may_say_the_same(create, store):
    assert create(store_id=str(store.pk)).status_code == 201


@pytest.mark.parametrize("ignored", [str(UUID(int=1)), "x", None, 5, {"deep": []}])
def test_of_both_names_camel_case_wins(create, store, ignored):
    answer = create(store_id=ignored)
    assert (answer.status_code, answer.json["storeId"]) == (201, str(store.pk))
    refused = create(storeId="x", store_id=str(store.pk))
    assert error_pointers(refused) == {"#/storeId"}


@pytest.mark.parametrize("name", ["storeId", "store_id"])
def test_an_error_names_the_field_as_the_client_spelled_it(client_with_auth, owner_headers, name):
    body = {name: "x", "name": "Salve", "price": 1}
    answer = client_with_auth.post(URL, json=body, headers=owner_headers)
    assert answer.status_code == 422
    assert [entry["pointer"] for entry in answer.json["errors"]] == [f"#/{name}"]


def test_a_store_is_required(client_with_auth, owner_headers):
    answer = client_with_auth.post(URL, json={"name": "Salve", "price": 1}, headers=owner_headers)
    assert (answer.status_code, answer.json["code"]) == (422, "required")
    assert answer.json["errors"][0]["pointer"] == "#/storeId"


# Prices


@pytest.mark.parametrize(
    ("sent", "stored", "shown"),
    [
        ("9.9", "9.90", "9.9"),
        ("10", "10.00", "10.0"),
        ("10.0", "10.00", "10.0"),
        ("1e2", "100.00", "100.0"),
        ("0", "0.00", "0.0"),
        ("-0.0", "0.00", "0.0"),
        ("0.1", "0.10", "0.1"),
        ("12.50", "12.50", "12.5"),
        ('"12.50"', "12.50", "12.5"),
        ('"7"', "7.00", "7.0"),
        ('".5"', "0.50", "0.5"),
        ('"5."', "5.00", "5.0"),
        ('"+5"', "5.00", "5.0"),
        ('"1e2"', "100.00", "100.0"),
        ('"1.25E+1"', "12.50", "12.5"),
        ('" 9.99 "', "9.99", "9.99"),
        ('"9.990000"', "9.99", "9.99"),
        ('"007"', "7.00", "7.0"),
        ('"-0"', "0.00", "0.0"),
        ("9999999999.99", "9999999999.99", "9999999999.99"),
    ],
)
def test_a_price_is_a_number_to_the_cent(
    client_with_auth, store, owner_headers, sent, stored, shown
):
    data = f'{{"storeId": "{store.pk}", "name": "Salve", "price": {sent}}}'
    answer = client_with_auth.post(
        URL, data=data, content_type="application/json", headers=owner_headers
    )
    assert answer.status_code == 201
    made = db.session.get(Product, UUID(answer.json["productId"]), populate_existing=True)
    assert made.price == Decimal(stored)
    assert f'"price":{shown},' in answer.text.replace(" ", "")


@pytest.mark.parametrize(
    ("price", "code"),
    [
        *(
            (value, "out-of-range")
            for value in (-1, 9.999, "1.001", 1e-7, 10**10, 1e300, "-1", "1e-3")
        ),
        *((value, "out-of-range") for value in ("1e10", f"9.99{'0' * 50}1", "9" * 9_999)),
        *((value, "wrong-type") for value in ("1e999999999", "1e" + "9" * 30)),
        *(
            (value, "wrong-type")
            for value in ("", " ", "x", "NaN", "1,5", "1 0", "e2", ".", "--1", True, [], {})
        ),
        (None, "not-nullable"),
    ],
)
def test_what_is_no_price_is_refused(create, price, code):
    answer = create(price=price)
    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert answer.json["errors"][0]["pointer"] == "#/price"


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "1e400", "1" * 5000])
def test_what_is_no_number_in_json_is_malformed(client_with_auth, store, owner_headers, price):
    data = f'{{"storeId": "{store.pk}", "name": "Salve", "price": {price}}}'
    answer = client_with_auth.post(
        URL, data=data, content_type="application/json", headers=owner_headers
    )
    assert answer.status_code == 400


class Priced(Schema):
    price = MoneyAsNumber(description="A price.", example=1.5)


@given(amount=amounts)
def test_a_price_comes_out_as_it_went_in(amount):
    schema = Priced()
    for sent in (json.loads(str(amount)), str(amount)):
        assert schema.load({"price": sent}) == {"price": amount}
    shown = json.dumps(schema.dump({"price": amount}))
    assert Decimal(json.loads(shown, parse_float=Decimal)["price"]) == amount


@settings(max_examples=40)
@given(amount=amounts)
def test_postgresql_shows_a_price_as_it_is(client, amount):
    product = make_product(price=amount)
    shown = json.loads(client.get(f"{URL}{product.pk}").text, parse_float=str, parse_int=str)
    assert Decimal(shown["price"]) == amount
    assert shown["price"] == repr(float(amount))
    [listed] = [
        row
        for row in json.loads(client.get(URL).text, parse_float=str, parse_int=str)
        if row["productId"] == str(product.pk)
    ]
    assert listed["price"] == shown["price"]


# Changes


def test_a_change_is_answered_with_204_and_nothing(client_with_auth, owner_headers, product):
    answer = client_with_auth.patch(
        f"{URL}{product.pk}", json={"price": 7.5}, headers=owner_headers
    )
    assert (answer.status_code, answer.data) == (204, b"")
    shown = client_with_auth.get(f"{URL}{product.pk}").json
    assert (shown["price"], shown["name"], shown["description"]) == (7.5, "Salve", "In a jar.")


def test_null_clears_the_description(client_with_auth, owner_headers, product):
    url = f"{URL}{product.pk}"
    assert (
        client_with_auth.patch(url, json={"description": None}, headers=owner_headers).status_code
        == 204
    )
    assert row(product).description is None


def test_what_this_version_does_not_know_keeps_its_value(client_with_auth, owner_headers, store):
    potion = make_potion()
    product = make_product(store, stock=5, potion_id=potion.pk)
    body = {"name": "Balm", "stock": 9, "potion_id": None, "version": 7}
    assert (
        client_with_auth.patch(f"{URL}{product.pk}", json=body, headers=owner_headers).status_code
        == 204
    )
    kept = row(product)
    assert (kept.name, kept.stock, kept.potion_id) == ("Balm", 5, potion.pk)


def test_a_product_stays_in_its_store_whatever_is_sent(
    client_with_auth, owner, owner_headers, product
):
    before, other = product.store_id, make_store(owner_id=owner.pk)
    for ids in ({"storeId": str(other.pk)}, {"store_id": 5}, {"storeId": "x", "store_id": "y"}):
        body = ids | {"productId": str(uuid7()), "name": "Balm"}
        assert (
            client_with_auth.patch(
                f"{URL}{product.pk}", json=body, headers=owner_headers
            ).status_code
            == 204
        )
        kept = row(product)
        assert (kept.store_id, kept.name) == (before, "Balm")


def test_an_id_that_is_sent_is_ignored(create):
    pk = str(uuid7())
    answer = create(productId=pk, product_id=pk, store={"name": 5})
    assert answer.status_code == 201
    assert answer.json["productId"] != pk


def test_a_deletion_is_answered_with_204_and_nothing(client_with_auth, owner_headers, product):
    answer = client_with_auth.delete(f"{URL}{product.pk}", headers=owner_headers)
    assert (answer.status_code, answer.data) == (204, b"")
    assert client_with_auth.get(f"{URL}{product.pk}").status_code == 404


def test_an_ordered_product_cannot_be_deleted(client_with_auth, owner_headers, product):
    order = make_order(product)
    answer = client_with_auth.delete(f"{URL}{product.pk}", headers=owner_headers)
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    assert str(order.pk) in answer.json["errors"][0]["detail"]


def test_no_change_needs_if_match_and_none_heeds_it(client_with_auth, owner_headers, product):
    stale = owner_headers | {"If-Match": '"precondition-failed"'}
    url = f"{URL}{product.pk}"
    assert client_with_auth.patch(url, json={"price": 1}, headers=stale).status_code == 204
    assert client_with_auth.delete(url, headers=stale).status_code == 204


# What stands in the way


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_name_that_the_store_has_is_a_conflict_in_the_old_words(
    client_with_auth, owner_headers, product, method
):
    body = {"storeId": str(product.store_id), "name": "Salve", "price": 1}
    url = URL
    if method == "PATCH":
        made = client_with_auth.post(URL, json=body | {"name": "Balm"}, headers=owner_headers)
        url = f"{URL}{made.json['productId']}"
    answer = client_with_auth.open(url, method=method, json=body, headers=owner_headers)
    assert (answer.status_code, answer.json["detail"]) == (409, "Conflict Error")
    assert answer.json["code"] == "already-exists"
    [entry] = answer.json["errors"]
    assert entry["pointer"] == "#/name"
    assert '"Salve"' in entry["detail"]


def test_another_store_may_have_a_product_of_the_name(create, owner, product):
    other = make_store(owner_id=owner.pk)
    assert create(storeId=str(other.pk), name=product.name).status_code == 201


@pytest.mark.parametrize("name", ["storeId", "store_id"])
def test_an_unknown_store_is_400_with_the_detail_of_v1(client_with_auth, owner_headers, name):
    pk = str(uuid7())
    answer = client_with_auth.post(
        URL, json={name: pk, "name": "Salve", "price": 1}, headers=owner_headers
    )
    assert answer.status_code == 400
    assert answer.json["detail"] == f"Store with storeId = {pk} not found."
    assert answer.mimetype == "application/problem+json"


def test_in_the_store_of_somebody_else_one_offers_nothing(create):
    answer = create(storeId=str(make_store(owner_id=make_user().pk).pk))
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "products:write:any"
    assert create(storeId=str(make_store().pk)).status_code == 403


def test_an_admin_offers_changes_and_deletes_in_any_store(client_with_auth, create, product):
    admin = sign_in(make_user(role="admin"))
    url = f"{URL}{product.pk}"
    assert create(admin, name="Balm").status_code == 201
    assert client_with_auth.patch(url, json={"price": 1}, headers=admin).status_code == 204
    assert client_with_auth.delete(url, headers=admin).status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changing_the_product_of_another_user_is_403(client_with_auth, product, method):
    stranger = sign_in(make_user(role="merchant"))
    url = f"{URL}{product.pk}"
    answer = client_with_auth.open(url, method=method, json={"price": 1}, headers=stranger)
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "products:write:any"
    assert row(product).price == Decimal("9.90")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_product_whose_store_changes_its_owner_during_the_lock_wait_is_403(
    make_committing_app, fresh_database, method
):
    """The statement that waited for the lock still sees the owner of before."""
    app = make_committing_app(open_access=False)
    owner = make_user(role="merchant")
    product = make_product(make_store(owner_id=owner.pk), name="Salve")
    pk, headers = product.pk, sign_in(owner)
    db.session.commit()
    engine = create_engine(fresh_database, poolclass=NullPool)
    with ThreadPoolExecutor(1) as pool, engine.connect() as other:
        other.execute(text("SELECT 1 FROM products FOR UPDATE"))
        other.execute(text("UPDATE stores SET owner_id = NULL"))
        client, body = app.test_client(), {"name": "Balm"}
        future = pool.submit(client.open, f"{URL}{pk}", method=method, json=body, headers=headers)
        await_a_waiter(other)
        other.commit()
        answer = future.result(TIMEOUT)
        assert answer.status_code == 403
        assert other.scalar(text("SELECT name FROM products")) == "Salve"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_row_is_404_with_the_detail_of_v1(client_with_auth, owner_headers, method):
    answer = client_with_auth.open(f"{URL}{uuid7()}", method=method, json={}, headers=owner_headers)
    assert (answer.status_code, answer.json["detail"]) == (404, "Not Found")


@pytest.mark.parametrize("pk", ["0", "x", "0" * 32, f"{UUID(int=0)}0"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_id_that_is_none_is_404(client_with_auth, owner_headers, method, pk):
    answer = client_with_auth.open(f"{URL}{pk}", method=method, json={}, headers=owner_headers)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_without_a_token_nothing_is_written(client_with_auth, product, method):
    url = URL if method == "POST" else f"{URL}{product.pk}"
    body = {"storeId": str(product.store_id), "name": "Balm", "price": 1}
    assert client_with_auth.open(url, method=method, json=body).status_code == 401
    assert row(product).name == "Salve"


@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_answer_with_and_without_a_slash(client_with_auth, owner_headers, store, slash):
    base = "/api/v1/products"
    body = {"storeId": str(store.pk), "name": "Salve", "price": 1}
    assert client_with_auth.get(f"{base}{slash}").status_code == 200
    made = client_with_auth.post(f"{base}{slash}", json=body, headers=owner_headers)
    assert made.status_code == 201
    url = f"{base}/{made.json['productId']}{slash}"
    assert client_with_auth.get(url).status_code == 200
    assert client_with_auth.patch(url, json={}, headers=owner_headers).status_code == 204
    assert client_with_auth.delete(url, headers=owner_headers).status_code == 204


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("PATCH", 204), ("DELETE", 204), ("HEAD", 200)]
)
def test_every_answer_says_that_this_is_old_and_what_succeeds_it(
    client_with_auth, owner_headers, product, method, status
):
    answer = client_with_auth.open(
        f"{URL}{product.pk}", method=method, json={}, headers=owner_headers
    )
    assert answer.status_code == status
    assert answer.headers["Deprecation"].startswith("@")
    successor = f"/api/v2/products/{product.pk}"
    assert answer.headers["Link"] == f'<{successor}>; rel="successor-version"'


@pytest.mark.parametrize(
    ("currency", "price", "total"),
    [("JPY", 101, 202.0), ("EUR", 9.99, 19.98), ("KWD", 1.235, 2.47), ("CLF", 0.0001, 0.0002)],
)
def test_a_price_has_the_decimals_of_its_currency(client, currency, price, total):
    store = make_store(currency=currency)
    body = {"storeId": str(store.pk), "name": "Salve", "price": price}
    product = client.post(URL, json=body).json
    assert product["price"] == price
    items = [{"productId": product["productId"], "quantity": 2}]
    assert client.post("/api/v1/orders/", json={"items": items}).json["total"] == total


@pytest.mark.parametrize(
    ("currency", "price"), [("JPY", 1.5), ("EUR", 1.235), ("KWD", "1.2345"), ("EUR", 10**10)]
)
def test_more_decimals_than_the_currency_has_are_422(client, currency, price):
    product = make_product(make_store(currency=currency), price=1)
    body = {"storeId": str(product.store_id), "name": "Salve", "price": price}
    for answer in (
        client.post(URL, json=body),
        client.patch(f"{URL}{product.pk}", json={"price": price}),
    ):
        assert answer.status_code == 422
        [error] = answer.json["errors"]
        assert (error["pointer"], error["code"]) == ("#/price", "out-of-range")
