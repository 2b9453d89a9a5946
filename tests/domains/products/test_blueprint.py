"""Products over HTTP: fields, store, names, preconditions and deletion."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.products.models import Product
from tests.answers import pointers_and_codes
from tests.factories import make_order, make_potion, make_product, make_store

URL = "/api/v2/products"
ANY = {"If-Match": "*"}


@pytest.fixture
def post(client_with_auth, store, owner_headers):
    """Return a function that creates a product."""

    def call(headers=owner_headers, **values):
        body = {"name": "Apology", "price": "12.50", "store_id": str(store.pk)}
        return client_with_auth.post(URL, json=body | values, headers=headers)

    return call


@pytest.fixture
def patch(client_with_auth, owner_headers):
    """Return a function that updates a product."""

    def call(product, headers=owner_headers, **changes):
        return client_with_auth.patch(f"{URL}/{product.pk}", json=changes, headers=headers | ANY)

    return call


@pytest.fixture(params=["POST", "PATCH"])
def write(request, post, patch, store):
    """Return a function that creates a product, or updates one, with some fields."""
    if request.param == "POST":
        return post
    return lambda **values: patch(make_product(store), **values)


def reload(product):
    db.session.rollback()
    return db.session.get(Product, product.pk, populate_existing=True)


def test_a_new_product_has_every_field(post, store):
    answer = post()
    assert answer.status_code == 201
    created = answer.json
    assert list(created) == [
        *("pk", "store_id", "store", "name", "description", "price", "currency", "stock"),
        *("potion_id", "reference", "created_at", "updated_at"),
    ]
    assert (created["name"], created["price"], created["store_id"]) == (
        "Apology",
        "12.50",
        str(store.pk),
    )
    assert (created["description"], created["stock"], created["potion_id"]) == (None, None, None)


def test_a_product_has_its_store_and_currency(post, store):
    created = post().json
    assert created["store"] == {"pk": str(store.pk), "name": "The Crooked Ladle"}
    assert created["currency"] == "EUR"


def test_location_is_the_public_url_of_the_new_product(client_with_auth, post):
    created = post(description="Corked.", stock=3, potion_id=str(make_potion().pk))
    assert created.status_code == 201
    fetched = client_with_auth.get(created.location)
    assert fetched.json == created.json
    assert fetched.headers["ETag"] == created.headers["ETag"]


# Fields


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (None, "not-nullable"),
        (5, "wrong-type"),
        ("", "too-short"),
        (" \u2028", "too-short"),
        ("é" * 256, "too-long"),
    ],
)
def test_an_invalid_name_is_422(write, name, code):
    answer = write(name=name)
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {("#/name", code)}


@pytest.mark.parametrize("length", [1, 255])
def test_a_name_has_1_to_255_characters(write, length):
    assert write(name="é" * length).json["name"] == "é" * length


def test_a_description_has_at_most_2000_characters(write):
    assert write(description="é" * 2000).json["description"] == "é" * 2000
    assert pointers_and_codes(write(description="é" * 2001)) == {("#/description", "too-long")}


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("9.9", "9.90"),
        ("9", "9.00"),
        ("9.99", "9.99"),
        ("0", "0.00"),
        ("0.00", "0.00"),
        ("0.01", "0.01"),
        ("0012.5", "12.50"),
        ("9999999999.99", "9999999999.99"),
    ],
)
def test_a_price_has_two_decimals(write, price, expected):
    assert write(price=price).json["price"] == expected


@pytest.mark.parametrize(
    ("price", "code"),
    [
        ("-0.01", "out-of-range"),
        ("-1", "out-of-range"),
        ("9.999", "out-of-range"),
        ("10000000000", "out-of-range"),
        ("9.9900", "out-of-range"),
        ("1" * 400, "out-of-range"),
        (9.99, "wrong-type"),
        (9, "wrong-type"),
        (True, "wrong-type"),
        ("", "wrong-type"),
        (" 9.99", "wrong-type"),
        ("9,99", "wrong-type"),
        ("+9.99", "wrong-type"),
        (".99", "wrong-type"),
        ("9.", "wrong-type"),
        ("1e2", "wrong-type"),
        ("NaN", "wrong-type"),
        ("Infinity", "wrong-type"),
        ("٩", "wrong-type"),
        (["9.99"], "wrong-type"),
        (None, "not-nullable"),
    ],
)
def test_an_invalid_price_is_422(write, price, code):
    answer = write(price=price)
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {("#/price", code)}


@pytest.mark.parametrize("stock", [0, 1, 1_000_000_000, None])
def test_a_stock_is_a_number_or_unlimited(write, stock):
    assert write(stock=stock).json["stock"] == stock


@pytest.mark.parametrize(
    ("stock", "code"),
    [
        (-1, "out-of-range"),
        (1_000_000_001, "out-of-range"),
        (10**30, "out-of-range"),
        (1.5, "wrong-type"),
        ("5", "wrong-type"),
        (False, "wrong-type"),
        ([], "wrong-type"),
    ],
)
def test_an_invalid_stock_is_422(write, stock, code):
    answer = write(stock=stock)
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {("#/stock", code)}


def test_all_missing_fields_are_reported_together(client_with_auth, owner_headers):
    answer = client_with_auth.post(URL, json={}, headers=owner_headers)
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {
        (f"#/{field}", "required") for field in ("store_id", "name", "price")
    }


def test_all_validation_errors_are_reported_together(post):
    answer = post(
        store_id=str(uuid7()),
        potion_id=str(uuid7()),
        name=" ",
        description=5,
        price="-1",
        stock=-1,
        currency="EUR",
        store={"pk": "x"},
        in_stock=True,
        colour="green",
    )
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {
        ("#/store_id", "unknown-reference"),
        ("#/potion_id", "unknown-reference"),
        ("#/name", "too-short"),
        ("#/description", "wrong-type"),
        ("#/price", "out-of-range"),
        ("#/stock", "out-of-range"),
        ("#/currency", "read-only"),
        ("#/store", "read-only"),
        ("#/in_stock", "unknown-field"),
        ("#/colour", "unknown-field"),
    }


@pytest.mark.parametrize("field", ["store_id", "potion_id"])
@pytest.mark.parametrize("value", ["", "x", 5, "0" * 32, [], {"pk": str(UUID(int=0))}])
def test_an_invalid_reference_is_422(post, field, value):
    answer = post(**{field: value})
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {(f"#/{field}", "wrong-type")}


def test_an_unknown_potion_is_422_with_its_pk(post):
    pk = uuid7()
    [error] = post(potion_id=str(pk)).json["errors"]
    assert error == {
        "pointer": "#/potion_id",
        "code": "unknown-reference",
        "detail": f"No potion {pk}.",
    }


@pytest.mark.parametrize("field", ["description", "stock", "potion_id"])
def test_null_clears_an_optional_field(patch, store, field):
    values = {"description": "Corked.", "stock": 3, "potion_id": make_potion().pk}
    changed = patch(make_product(store, **values), **{field: None})
    assert changed.status_code == 200
    expected = values | {"potion_id": str(values["potion_id"])} | {field: None}
    assert {name: changed.json[name] for name in values} == expected


def test_patch_keeps_absent_fields(client_with_auth, patch, store):
    product = make_product(store, description="Corked.", stock=3, potion_id=make_potion().pk)
    before = client_with_auth.get(f"{URL}/{product.pk}").json
    changed = patch(product, price="0.5").json
    assert changed["updated_at"] > before["updated_at"]
    assert changed == before | {"price": "0.50", "updated_at": changed["updated_at"]}


# Read-only fields, and fields of the store


def test_a_representation_may_be_sent_back(client_with_auth, store, owner_headers):
    url = f"{URL}/{make_product(store, stock=3, potion_id=make_potion().pk).pk}"
    fetched = client_with_auth.get(url)
    headers = owner_headers | {"If-Match": fetched.headers["ETag"]}
    answer = client_with_auth.patch(url, json=fetched.json, headers=headers)
    assert (answer.status_code, answer.json) == (200, fetched.json)


def test_the_store_of_a_product_cannot_be_changed(patch, store, owner):
    product = make_product(store)
    other_store = make_store(owner_id=owner.pk)
    answer = patch(product, store_id=str(other_store.pk), name="Moved")
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {("#/store_id", "read-only")}
    assert (reload(product).store_id, reload(product).name) == (store.pk, product.name)


@pytest.mark.parametrize("store_id", [None, "x", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
def test_an_invalid_store_is_read_only_too(patch, store, store_id):
    assert pointers_and_codes(patch(make_product(store), store_id=store_id)) == {
        ("#/store_id", "read-only")
    }


def test_the_current_store_may_be_sent_back(patch, store):
    answer = patch(make_product(store), store_id=str(store.pk), name="Renamed")
    assert (answer.status_code, answer.json["name"]) == (200, "Renamed")


@pytest.mark.parametrize(
    "change",
    [
        {"currency": "CHF"},
        {"store": {"pk": "01935f2e-7c1a-7b3e-9d3c-0123456789ab", "name": "Another"}},
        {"store": None},
        {"pk": "01935f2e-7c1a-7b3e-9d3c-0123456789ab"},
        {"created_at": "2026-11-20T07:15:00.123456+00:00"},
        {"updated_at": None},
    ],
)
def test_a_changed_read_only_field_is_422(patch, store, change):
    product = make_product(store)
    answer = patch(product, name="Renamed", **change)
    [field] = change
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {(f"#/{field}", "read-only")}
    assert reload(product).name == product.name


@pytest.mark.parametrize("change", [{"name": "The Straight Spoon"}, {"currency": "CHF"}])
def test_changing_name_or_currency_of_the_store_changes_the_etag(
    client_with_auth, patch, store, owner_headers, change
):
    product = make_product(store)
    url = f"{URL}/{product.pk}"
    old_etag = client_with_auth.get(url).headers["ETag"]
    client_with_auth.patch(f"/api/v2/stores/{store.pk}", json=change, headers=owner_headers | ANY)
    fetched = client_with_auth.get(url)
    assert fetched.headers["ETag"] != old_etag
    store_values = {"name": fetched.json["store"]["name"], "currency": fetched.json["currency"]}
    assert store_values == {"name": "The Crooked Ladle", "currency": "EUR"} | change
    stale = client_with_auth.patch(
        url, json={"price": "1"}, headers=owner_headers | {"If-Match": old_etag}
    )
    assert (stale.status_code, stale.json["current"]) == (412, fetched.json)


def test_changing_other_fields_of_the_store_keeps_the_etag(client_with_auth, store, owner_headers):
    url = f"{URL}/{make_product(store).pk}"
    old_etag = client_with_auth.get(url).headers["ETag"]
    client_with_auth.patch(
        f"/api/v2/stores/{store.pk}", json={"city": "Gent"}, headers=owner_headers | ANY
    )
    assert client_with_auth.get(url).headers["ETag"] == old_etag


def test_a_new_currency_of_the_store_keeps_the_price(client_with_auth, store, owner_headers):
    product = make_product(store, price="12.50")
    client_with_auth.patch(
        f"/api/v2/stores/{store.pk}", json={"currency": "USD"}, headers=owner_headers | ANY
    )
    fetched = client_with_auth.get(f"{URL}/{product.pk}").json
    assert (fetched["price"], fetched["currency"]) == ("12.50", "USD")


# Names


@pytest.mark.parametrize("name", ["Apology", " Apology\t"])
def test_a_name_that_exists_in_the_store_is_409(post, name):
    assert post().status_code == 201
    answer = post(name=name)
    assert (answer.status_code, answer.json["code"]) == (409, "already-exists")
    assert pointers_and_codes(answer) == {("#/name", "already-exists")}
    assert "Apology" in answer.json["errors"][0]["detail"]


def test_changing_to_a_name_that_exists_in_the_store_is_409(patch, store):
    make_product(store, name="Apology")
    product = make_product(store)
    answer = patch(product, name="Apology")
    assert answer.status_code == 409
    assert pointers_and_codes(answer) == {("#/name", "already-exists")}
    assert reload(product).name == product.name


def test_names_may_repeat_in_another_store_or_case(post, owner):
    make_product(make_store(owner_id=owner.pk), name="Apology")
    assert [post().status_code, post(name="APOLOGY").status_code] == [201, 201]


def test_the_name_of_a_deleted_product_can_be_reused(client_with_auth, post, owner_headers):
    created = post()
    assert client_with_auth.delete(created.location, headers=owner_headers | ANY).status_code == 204
    assert post().status_code == 201


# If-Match


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_patch_and_delete_need_if_match(client_with_auth, store, owner_headers, method):
    product = make_product(store)
    answer = client_with_auth.open(
        f"{URL}/{product.pk}", method=method, json={}, headers=owner_headers
    )
    assert answer.status_code == 428
    assert reload(product) is not None


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_is_412_with_the_current_product(
    client_with_auth, store, patch, owner_headers, method
):
    product = make_product(store)
    url = f"{URL}/{product.pk}"
    old_etag = client_with_auth.get(url).headers["ETag"]
    changed = patch(product, price="99")
    headers = owner_headers | {"If-Match": old_etag}
    answer = client_with_auth.open(url, method=method, json={"price": "1"}, headers=headers)
    assert answer.status_code == 412
    assert answer.json["current"] == changed.json
    assert answer.headers["ETag"] == changed.headers["ETag"]


def test_an_order_that_reserves_stock_makes_an_etag_stale(client_with_auth, store, owner_headers):
    product = make_product(store, stock=3)
    url = f"{URL}/{product.pk}"
    old_etag = client_with_auth.get(url).headers["ETag"]
    make_order(product)
    answer = client_with_auth.patch(
        url, json={"stock": 3}, headers=owner_headers | {"If-Match": old_etag}
    )
    assert (answer.status_code, answer.json["current"]["stock"]) == (412, 2)


def test_a_matching_if_none_match_is_304(client_with_auth):
    url = f"{URL}/{make_product().pk}"
    etag = client_with_auth.get(url).headers["ETag"]
    answer = client_with_auth.get(url, headers={"If-None-Match": f"W/{etag}"})
    assert (answer.status_code, answer.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize("pk", ["0", "x", UUID(int=0).hex, "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_product_that_does_not_exist_is_404(client_with_auth, owner_headers, method, pk):
    answer = client_with_auth.open(
        f"{URL}/{pk}", method=method, json={}, headers=owner_headers | ANY
    )
    assert answer.status_code == 404


# Deletion and idempotency keys


def test_deleting_an_ordered_product_is_409_with_its_orders(client_with_auth, store, owner_headers):
    product = make_product(store)
    orders = {make_order(product).pk for _ in range(2)}
    answer = client_with_auth.delete(f"{URL}/{product.pk}", headers=owner_headers | ANY)
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    details = {error["detail"] for error in answer.json["errors"]}
    assert details == {f"Order {pk} contains it." for pk in orders}
    assert reload(product) is not None


def test_deleting_a_potion_with_products_is_409_with_the_products(client_with_auth, admin):
    potion = make_potion()
    products = {make_product(potion_id=potion.pk).pk for _ in range(2)}
    url = f"/api/v2/potions/{potion.pk}"
    answer = client_with_auth.delete(url, headers=admin | ANY)
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    details = {error["detail"] for error in answer.json["errors"]}
    assert details == {f"Product {pk} sells it." for pk in products}
    assert client_with_auth.get(url).status_code == 200


def test_a_potion_without_products_can_be_deleted(client_with_auth, patch, store, admin):
    potion = make_potion()
    product = make_product(store, potion_id=potion.pk)
    assert patch(product, potion_id=None).status_code == 200
    assert (
        client_with_auth.delete(f"/api/v2/potions/{potion.pk}", headers=admin | ANY).status_code
        == 204
    )


def test_a_repeated_creation_is_replayed(post, owner_headers):
    first, second = (post(owner_headers | {"Idempotency-Key": "one"}) for _ in range(2))
    assert second.data == first.data
    assert second.headers["Idempotent-Replayed"] == "true"


def test_a_conflict_is_replayed(post, client_with_auth, owner_headers, store):
    product = make_product(store, name="Apology")
    first = post(owner_headers | {"Idempotency-Key": "one"})
    client_with_auth.delete(f"{URL}/{product.pk}", headers=owner_headers | ANY)
    second = post(owner_headers | {"Idempotency-Key": "one"})
    assert (first.status_code, second.data) == (409, first.data)
