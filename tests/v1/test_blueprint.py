"""What all of version 1 has in common: the keys of its bodies, and whole lists."""

import json
from decimal import Decimal
from unicodedata import normalize

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import selectinload

from alchemist import database as db
from alchemist.api import json_select
from alchemist.domains.coupons import service as coupons
from alchemist.domains.orders import queries as order_queries
from alchemist.domains.orders.models import Order, OrderItem
from alchemist.domains.orders.viewer import UNRESTRICTED
from alchemist.domains.products import service as products
from alchemist.domains.products.models import Product
from alchemist.domains.stores import service as stores
from alchemist.v1.coupons import CouponSchema
from alchemist.v1.full_list import MAX_BYTES, MAX_ROWS, full_list_statement
from alchemist.v1.orders import OrderDetailSchema, OrderSchema
from alchemist.v1.products import ProductSchema
from alchemist.v1.stores import StoreSchema
from tests.factories import make_coupon, make_order, make_product, make_store
from tests.properties import given, settings, st

STORE = {
    *("name", "city", "country", "currency", "domain"),
    *("zipcode", "street", "phone", "email", "storeId"),
}
PRODUCT = {"productId", "storeId", "name", "price", "description", "store"}
ORDER = {"orderId", "date", "total"}
COUPON = {"id", "code", "init_count", "remaining_count"}

words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20).map(
    lambda found: normalize("NFC", found)
)
counts = st.integers(0, 1000)
cents = st.integers(0, 10**9).map(lambda amount: amount / 100)
values = st.none() | st.booleans() | st.integers(-5, 5) | words | st.lists(words, max_size=2)
known = STORE | PRODUCT | ORDER | COUPON | {"items", "store_id", "product_id"}
unknown = st.dictionaries(words.filter(lambda name: name not in known), values, max_size=4)
optional = st.fixed_dictionaries(
    {},
    optional={
        "domain": st.none() | st.just("http://ladle.example/"),
        "phone": st.none() | words,
        "email": st.none() | st.just("ladle@alchemist.example"),
    },
)
anything = settings(max_examples=25)


def answers(client, path, body, key):
    """Return what creating a row, asking for it and asking for all of them answer."""
    made = client.post(path, json=body)
    assert made.status_code == 201, made.text
    found = client.get(f"{path}{made.json[key]}")
    assert found.status_code == 200
    listed = client.get(path)
    return made.json, found.json, listed.json if listed.status_code == 200 else []


@anything
@given(name=words, more=optional, unknown=unknown)
def test_a_store_has_the_keys_of_old_and_no_others(client, name, more, unknown):
    address = dict.fromkeys(("city", "country", "zipcode", "street"), name)
    body = unknown | more | address | {"name": name, "currency": "eur"}
    made, found, listed = answers(client, "/api/v1/stores/", body, "storeId")
    assert all(set(one) == STORE for one in (made, found, *listed))
    assert made == found == listed[-1]
    assert {key: made[key] for key in more} == more


@anything
@given(name=words, price=cents, text=st.none() | words, unknown=unknown)
def test_a_product_has_the_keys_of_old_and_no_others(client, name, price, text, unknown):
    store = {"storeId": str(make_store().pk)}
    body = unknown | store | {"name": name, "price": price, "description": text}
    made, found, listed = answers(client, "/api/v1/products/", body, "productId")
    assert all(set(one) == PRODUCT and set(one["store"]) == STORE for one in (made, *listed))
    assert made == found == listed[-1]
    assert (made["price"], made["description"]) == (price, text)


@anything
@given(quantities=st.lists(st.integers(1, 9), min_size=1, max_size=4), unknown=unknown)
def test_an_order_has_the_keys_of_old_and_no_others(client, quantities, unknown):
    store = make_store()
    lines = [
        unknown | {"productId": str(make_product(store).pk), "quantity": quantity}
        for quantity in quantities
    ]
    body = unknown | {"items": lines}
    made, found, listed = answers(client, "/api/v1/orders/", body, "orderId")
    assert all(set(order) == ORDER for order in listed)
    assert set(made) == ORDER | {"items"}
    assert made == found == listed[-1] | {"items": made["items"]}
    for item in found["items"]:
        assert set(item) == {"quantity", "product"}
        assert (set(item["product"]), set(item["product"]["store"])) == (PRODUCT, STORE)
    assert [item["quantity"] for item in found["items"]] == quantities


@anything
@given(counts=st.tuples(counts, counts).map(sorted), unknown=unknown)
def test_a_coupon_has_the_keys_of_old_and_no_others(client, counts, unknown):
    remaining, initial = counts
    body = {"code": make_coupon().code + "x", "init_count": initial, "remaining_count": remaining}
    made, found, _ = answers(client, "/api/v1/coupons/", unknown | body, "id")
    assert made == found == body | {"id": made["id"]}


def shown(schema, query):
    return json.loads(
        db.fetch_one(json_select.select_json(query.select, schema), query.parameters)[0]
    )


def loaded(entity, *options):
    db.session.expunge_all()
    return db.session.scalars(select(entity).options(*options)).one()


def test_what_postgresql_shows_is_the_dump_of_the_row(client):
    """One row of each, so that there is no doubt which is meant."""
    store = make_store(phone="1")
    product = make_product(store, price=Decimal("9.90"))
    order = make_order(product)
    coupon = make_coupon()
    of_product = selectinload(Product.store)
    of_order = selectinload(Order.items).selectinload(OrderItem.product)
    order_query = order_queries.by_pk(order.pk).with_parameters(UNRESTRICTED)
    for schema, query, options in (
        (StoreSchema(), stores.by_pk(store.pk), ()),
        (ProductSchema(), products.by_pk(product.pk), (of_product,)),
        (CouponSchema(), coupons.by_pk(coupon.pk), ()),
        (OrderSchema(), order_query, ()),
        (
            OrderDetailSchema(),
            order_query,
            (of_order.selectinload(Product.store),),
        ),
    ):
        row = loaded(query.model, *options)
        assert shown(schema, query) == schema.dump(row)


MANY = text(
    "INSERT INTO stores (pk, name, street, zipcode, city, country, currency)"
    " SELECT gen_random_uuid(), 'S', 'S', '1', 'C', 'C', 'EUR' FROM generate_series(1, :count)"
)


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 400)])
def test_a_list_ends_where_it_would_be_too_long(client, more, status):
    db.session.execute(MANY, {"count": MAX_ROWS + more})
    answer = client.get("/api/v1/stores/")
    assert answer.status_code == status
    if status == 200:
        assert len(answer.json) == MAX_ROWS
    else:
        assert answer.json["code"] == "list-too-long"
        assert "/api/v2" in answer.json["detail"]


LARGE = text(
    "INSERT INTO stores (pk, name, street, zipcode, city, country, currency)"
    " SELECT gen_random_uuid(), t, t, t, t, t, 'EUR'"
    " FROM repeat('\U0001f701', 255) AS t, generate_series(1, :count)"
)


def test_a_list_of_too_many_bytes_is_rejected(client):
    # Five fields of 255 characters, each of four bytes.
    fitting = MAX_BYTES // (5 * 255 * 4 + 400)
    db.session.execute(LARGE, {"count": fitting})
    answer = client.get("/api/v1/stores/")
    assert len(answer.json) == fitting
    assert len(answer.data) <= MAX_BYTES
    db.session.execute(LARGE, {"count": 300})
    answer = client.get("/api/v1/stores/")
    assert (answer.status_code, answer.json["code"]) == (400, "list-too-long")
    assert "16 MiB" in answer.json["detail"]


def test_a_list_of_too_many_rows_is_rejected_before_any_is_read(client):
    db.session.execute(MANY, {"count": MAX_ROWS + 1})
    statement = full_list_statement(stores.list_query().select, StoreSchema())
    dialect = db.session.bind.dialect
    sql = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    plan = db.session.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")).scalar()
    [items] = [node for node in plan[0]["Plan"]["Plans"] if node.get("Subplan Name") == "CTE items"]
    assert items["Actual Rows"] == 0


@pytest.mark.parametrize("path", ["", "/stores", "/products", "/orders", "/coupons"])
@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_a_path_answers_every_method_equally_with_and_without_a_slash(client, path, method):
    urls = (f"/api/v1{path}/", f"/api/v1{path}")
    slash, bare = (client.open(url, method=method) for url in urls)
    assert (bare.status_code, bare.headers.get("Allow")) == (
        slash.status_code,
        slash.headers.get("Allow"),
    )
    is_offered = method == "OPTIONS" or (method in ("HEAD", "GET") and path != "/coupons")
    assert (slash.status_code == 405) is not is_offered


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/stores/x", "/x"])
def test_a_path_of_nothing_is_404_with_any_method(client, path):
    assert {client.open(path, method=method).status_code for method in ("GET", "PUT")} == {404}
