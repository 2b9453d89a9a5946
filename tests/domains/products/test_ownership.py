"""A merchant can write the products of their own stores only."""

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.products.models import Product
from tests.factories import make_product, make_store, make_user, sign_in

URL = "/api/v2/products"
ANY = {"If-Match": "*"}
WRITES = [
    ("PATCH", "", {"name": "Stolen"}),
    ("DELETE", "", None),
    ("POST", "/restock", {"quantity": 1}),
]
every_write = pytest.mark.parametrize(("method", "path", "body"), WRITES)


@pytest.fixture
def post(client_with_auth, store, owner_headers):
    """Return a function that creates a product."""

    def call(headers=owner_headers, **values):
        body = {"name": "Apology", "price": "12.50", "store_id": str(store.pk)}
        return client_with_auth.post(URL, json=body | values, headers=headers)

    return call


def reload(product):
    db.session.rollback()
    return db.session.get(Product, product.pk, populate_existing=True)


def permission(answer):
    assert answer.status_code == 403
    return answer.json["errors"][0]["permission"]


@pytest.mark.parametrize("is_owned", [True, False])
def test_creating_a_product_in_a_store_of_another_user_is_403(post, is_owned):
    other_store = make_store(owner_id=make_user(role="merchant").pk if is_owned else None)
    assert permission(post(store_id=str(other_store.pk))) == "products:write:any"
    assert db.session.query(Product).count() == 0


def test_403_for_the_store_precedes_422(post):
    answer = post(store_id=str(make_store().pk), price="free", potion_id=str(uuid7()))
    assert permission(answer) == "products:write:any"


def test_a_store_that_does_not_exist_is_422(post):
    pk = uuid7()
    answer = post(store_id=str(pk))
    assert answer.status_code == 422
    assert answer.json["errors"] == [
        {"pointer": "#/store_id", "code": "unknown-reference", "detail": f"No store {pk}."}
    ]


def test_an_admin_can_create_a_product_in_any_store(post, admin):
    assert post(admin, store_id=str(make_store().pk)).status_code == 201


def test_an_admin_without_the_any_permission_cannot_create_in_any_store(post):
    narrowed = sign_in(make_user(role="admin"), "products:write")
    assert permission(post(narrowed)) == "products:write:any"


@every_write
@pytest.mark.parametrize("is_owned", [True, False])
def test_writing_products_of_another_user_is_403(
    client_with_auth, stranger, method, path, body, is_owned
):
    other_store = make_store(owner_id=make_user(role="merchant").pk if is_owned else None)
    product = make_product(other_store, stock=3)
    url = f"{URL}/{product.pk}{path}"
    answer = client_with_auth.open(url, method=method, json=body, headers=stranger | ANY)
    assert permission(answer) == "products:write:any"
    assert (reload(product).name, reload(product).stock) == (product.name, 3)


@every_write
def test_403_for_products_of_another_user_precedes_other_errors(
    client_with_auth, stranger, method, path, body
):
    """403 precedes 428, 412, 415 and 422."""
    url = f"{URL}/{make_product().pk}{path}"
    headers = stranger | {"If-Match": '"precondition-failed"', "Content-Type": "text/plain"}
    answer = client_with_auth.open(url, method=method, data=b"{", headers=headers)
    assert permission(answer) == "products:write:any"


@every_write
def test_an_owner_can_write_their_products(
    client_with_auth, store, owner_headers, method, path, body
):
    product = make_product(store, stock=3)
    url = f"{URL}/{product.pk}{path}"
    answer = client_with_auth.open(url, method=method, json=body, headers=owner_headers | ANY)
    assert answer.status_code in (200, 204)


@every_write
def test_an_admin_can_write_any_product(client_with_auth, admin, method, path, body):
    product = make_product(stock=3)
    url = f"{URL}/{product.pk}{path}"
    answer = client_with_auth.open(url, method=method, json=body, headers=admin | ANY)
    assert answer.status_code in (200, 204)


@every_write
def test_an_admin_without_the_any_permission_is_a_stranger(
    client_with_auth, store, method, path, body
):
    url = f"{URL}/{make_product(store, stock=3).pk}{path}"
    narrowed = sign_in(make_user(role="admin"), "products:write")
    answer = client_with_auth.open(url, method=method, json=body, headers=narrowed | ANY)
    assert permission(answer) == "products:write:any"


@every_write
def test_a_customer_who_owns_a_store_cannot_write_its_products(
    client_with_auth, method, path, body
):
    user = make_user()
    product = make_product(make_store(owner_id=user.pk), stock=3)
    url = f"{URL}/{product.pk}{path}"
    answer = client_with_auth.open(url, method=method, json=body, headers=sign_in(user) | ANY)
    assert permission(answer) == "products:write"


@every_write
def test_an_owner_without_products_write_cannot_write_products(
    client_with_auth, owner, store, method, path, body
):
    url = f"{URL}/{make_product(store, stock=3).pk}{path}"
    narrowed = sign_in(owner, "stores:write")
    answer = client_with_auth.open(url, method=method, json=body, headers=narrowed | ANY)
    assert permission(answer) == "products:write"


@every_write
def test_only_the_new_owner_of_a_store_can_write_its_products(
    client_with_auth, store, owner_headers, stranger, admin, method, path, body
):
    url = f"{URL}/{make_product(store, stock=3).pk}{path}"
    receiver = make_user(role="merchant")
    change = {"owner_id": str(receiver.pk)}
    client_with_auth.patch(f"/api/v2/stores/{store.pk}", json=change, headers=admin | ANY)
    answers = [
        client_with_auth.open(url, method=method, json=body, headers=headers | ANY).status_code
        for headers in (owner_headers, stranger, sign_in(receiver))
    ]
    assert answers[:2] == [403, 403]
    assert answers[2] in (200, 204)


def test_products_are_public(client_with_auth):
    product = make_product(make_store(owner_id=make_user(role="merchant").pk))
    assert client_with_auth.get(f"{URL}/{product.pk}").status_code == 200
    assert [product["pk"] for product in client_with_auth.get(URL).json] == [str(product.pk)]
