"""Restocking a product."""

import pytest

from alchemist import database as db
from alchemist.domains.products.models import Product
from tests.answers import pointers_and_codes
from tests.factories import make_order, make_product

URL = "/api/v2/products"
MAX_STOCK = 1_000_000_000


@pytest.fixture
def restock(client_with_auth, owner_headers):
    """Return a function that restocks a product."""

    def call(product, headers=None, **body):
        url = f"{URL}/{product.pk}/restock"
        return client_with_auth.post(url, json=body, headers=owner_headers | (headers or {}))

    return call


def stock(product):
    db.session.rollback()
    return db.session.get(Product, product.pk, populate_existing=True).stock


def test_restocking_answers_the_updated_product(client_with_auth, restock, store):
    product = make_product(store, stock=3)
    answer = restock(product, quantity=4)
    assert (answer.status_code, answer.json["stock"]) == (200, 7)
    fetched = client_with_auth.get(f"{URL}/{product.pk}")
    assert answer.json == fetched.json
    assert answer.headers["ETag"] == fetched.headers["ETag"]


def test_restocking_changes_etag_and_updated_at(client_with_auth, restock, store):
    product = make_product(store, stock=3)
    before = client_with_auth.get(f"{URL}/{product.pk}")
    after = restock(product, quantity=4)
    assert after.headers["ETag"] != before.headers["ETag"]
    changed = {name for name in before.json if after.json[name] != before.json[name]}
    assert changed == {"stock", "updated_at"}
    assert after.json["updated_at"] > before.json["updated_at"]


def test_restocking_adds_to_the_stock_left_by_an_order(restock, store):
    product = make_product(store, stock=3)
    make_order(product)
    assert restock(product, quantity=10).json["stock"] == 12


def test_a_restocked_product_is_in_stock_again(client_with_auth, restock, store):
    product = make_product(store, stock=0)
    assert client_with_auth.get(f"{URL}?in_stock=true").json == []
    assert restock(product, quantity=1).status_code == 200
    assert len(client_with_auth.get(f"{URL}?in_stock=true").json) == 1


def test_restocking_an_unlimited_stock_is_409(restock, store):
    product = make_product(store)
    answer = restock(product, quantity=1)
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "unlimited" in answer.json["detail"]
    assert stock(product) is None


def test_a_stock_can_be_restocked_to_the_maximum(restock, store):
    assert restock(make_product(store, stock=1), quantity=MAX_STOCK - 1).json["stock"] == MAX_STOCK


def test_restocking_above_the_maximum_is_409_with_the_stock(restock, store):
    product = make_product(store, stock=2)
    answer = restock(product, quantity=MAX_STOCK - 1)
    assert answer.status_code == 409
    assert "2" in answer.json["detail"]
    assert str(MAX_STOCK) in answer.json["detail"]
    assert stock(product) == 2


@pytest.mark.parametrize(
    ("quantity", "code"),
    [
        (0, "out-of-range"),
        (-1, "out-of-range"),
        (MAX_STOCK + 1, "out-of-range"),
        (10**30, "out-of-range"),
        (1.5, "wrong-type"),
        ("1", "wrong-type"),
        (True, "wrong-type"),
        (None, "not-nullable"),
    ],
)
def test_an_invalid_quantity_is_422(restock, store, quantity, code):
    product = make_product(store, stock=3)
    answer = restock(product, quantity=quantity)
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {("#/quantity", code)}
    assert stock(product) == 3


def test_all_validation_errors_are_reported_together(restock, store):
    answer = restock(make_product(store, stock=3), stock=5, name="Apology")
    assert pointers_and_codes(answer) == {
        ("#/quantity", "required"),
        ("#/stock", "unknown-field"),
        ("#/name", "unknown-field"),
    }


def test_422_precedes_409(restock, store):
    assert restock(make_product(store), quantity=0).status_code == 422


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"quantity": 1, "quantity": 2}', "application/json", 400),
        (b'{"quantity": 1}', "text/plain", 415),
        (b'{"quantity": 1}', "application/merge-patch+json", 415),
        (b"[]", "application/json", 422),
        (b"1", "application/json", 422),
    ],
)
def test_an_invalid_body_adds_nothing(
    client_with_auth, owner_headers, store, body, media_type, status
):
    product = make_product(store, stock=3)
    url = f"{URL}/{product.pk}/restock"
    answer = client_with_auth.post(url, data=body, content_type=media_type, headers=owner_headers)
    assert answer.status_code == status
    assert stock(product) == 3


@pytest.mark.parametrize("pk", ["0", "x", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
def test_404_precedes_errors_of_the_body(client_with_auth, owner_headers, pk):
    url = f"{URL}/{pk}/restock"
    answer = client_with_auth.post(url, data=b"{", content_type="text/plain", headers=owner_headers)
    assert answer.status_code == 404


def test_restocking_rejects_query_parameters(client_with_auth, owner_headers, store):
    url = f"{URL}/{make_product(store, stock=3).pk}/restock?quantity=1"
    answer = client_with_auth.post(url, json={"quantity": 1}, headers=owner_headers)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["parameter"] == "quantity"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_only_post_is_allowed(client_with_auth, owner_headers, store, method):
    url = f"{URL}/{make_product(store, stock=3).pk}/restock"
    answer = client_with_auth.open(url, method=method, headers=owner_headers)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_an_optional_if_match_is_checked(restock, store):
    product = make_product(store, stock=3)
    answer = restock(product, {"If-Match": '"precondition-failed"'}, quantity=1)
    assert (answer.status_code, answer.json["current"]["stock"]) == (412, 3)
    assert stock(product) == 3


def test_a_repeated_restock_is_replayed(restock, store):
    product = make_product(store, stock=3)
    key = {"Idempotency-Key": "one"}
    first, second = (restock(product, key, quantity=4) for _ in range(2))
    assert second.data == first.data
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert stock(product) == 7


def test_a_key_with_another_quantity_or_product_is_422(restock, store):
    product, other_product = make_product(store, stock=3), make_product(store, stock=3)
    key = {"Idempotency-Key": "one"}
    restock(product, key, quantity=4)
    answers = [restock(product, key, quantity=5), restock(other_product, key, quantity=4)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert (stock(product), stock(other_product)) == (7, 3)


def test_a_conflict_is_replayed(restock, store):
    product = make_product(store)
    key = {"Idempotency-Key": "one"}
    first = restock(product, key, quantity=1)
    db.update(db.session.get(Product, product.pk), {"stock": 0})
    second = restock(product, key, quantity=1)
    assert (first.status_code, second.data) == (409, first.data)
    assert stock(product) == 0
