"""A repeat with its key is answered as the first was, whatever happened to what its body names."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.api import stored_responses
from tests.factories import (
    make_coupon,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_store,
    make_user,
    sign_in,
)

KEY = {"Idempotency-Key": "once"}
STEP = {"step": timedelta(seconds=1)}
ANY = {"If-Match": "*"}


def of(product, **values):
    return {"items": [{"product_id": str(product.pk), "quantity": 1}]} | values


def repeated(client, path, body, change, status, headers=()):
    """Post before and after a change, and see that both are answered alike."""
    headers = KEY | dict(headers)
    first = client.post(f"/api/v2/{path}", json=body, headers=headers)
    assert first.status_code == status, first.text
    change(first.json)
    again = client.post(f"/api/v2/{path}", json=body, headers=headers)
    assert (again.status_code, again.text) == (status, first.text)
    assert again.headers["Idempotent-Replayed"] == "true"


def patch(client, path, **changes):
    assert client.patch(f"/api/v2/{path}", json=changes, headers=ANY).status_code == 200


def delete(client, path):
    assert client.delete(f"/api/v2/{path}", headers=ANY).status_code == 204


def test_the_stored_answer_of_an_order_survives_a_new_code_of_its_coupon(client):
    coupon = make_coupon(code="SAGE")
    repeated(
        client,
        "orders",
        of(make_product(), coupon_code="SAGE"),
        lambda _: patch(client, f"coupons/{coupon.pk}", code="THYME"),
        201,
    )


def test_a_stored_conflict_survives_the_deletion_of_its_product(client):
    product = make_product(stock=0)
    gone = f"products/{product.pk}"
    repeated(client, "orders", of(product), lambda _: delete(client, gone), 409)


def test_the_stored_answer_of_a_product_survives_the_deletion_of_its_potion(client):
    store, potion = make_store(), make_potion()

    def change(product):
        patch(client, f"products/{product['pk']}", potion_id=None)
        delete(client, f"potions/{potion.pk}")

    body = {"store_id": str(store.pk), "name": "Vial", "price": "1.00", "potion_id": str(potion.pk)}
    repeated(client, "products", body, change, 201)


def test_the_stored_answer_of_a_potion_survives_a_new_name_of_its_ingredient(client):
    root = make_ingredient(name="Root")
    body = {"name": "Brew", "ingredients": [{"pk": str(root.pk), "name": "Root"}]}
    change = f"ingredients/{root.pk}"
    repeated(client, "potions", body, lambda _: patch(client, change, name="Rhizome"), 201)


def test_the_stored_answer_of_a_product_survives_a_new_owner_of_its_store(client_with_auth):
    merchant, admin, other = make_user(role="merchant"), make_user(role="admin"), make_user()
    store = make_store(owner_id=merchant.pk)

    def hand_over(_):
        answer = client_with_auth.patch(
            f"/api/v2/stores/{store.pk}",
            json={"owner_id": str(other.pk)},
            headers=ANY | sign_in(admin),
        )
        assert answer.status_code == 200, answer.text

    body = {"store_id": str(store.pk), "name": "Vial", "price": "1.00"}
    repeated(client_with_auth, "products", body, hand_over, 201, sign_in(merchant))


@pytest.mark.parametrize("body", [{"name": 1}, {}, []])
def test_a_key_that_was_used_is_refused_before_a_mistake_of_the_body(client, body):
    assert client.post("/api/v2/ingredients", json={"name": "Root"}, headers=KEY).status_code == 201
    answer = client.post("/api/v2/ingredients", json=body, headers=KEY)
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "idempotency-key-reused")


def post_ingredient(client, key="once", query="", name="Root"):
    url = f"/api/v2/ingredients{query}"
    return client.post(url, json={"name": name}, headers={"Idempotency-Key": key})


OTHER_REQUESTS = {
    "another path": lambda client: client.post(
        "/api/v2/potions", json={"name": "Root"}, headers=KEY
    ),
    "another query": lambda client: post_ingredient(client, query="?name=Root"),
    "an empty query parameter": lambda client: post_ingredient(client, query="?a="),
    "another body": lambda client: post_ingredient(client, name="Stem"),
}


@pytest.mark.parametrize("send", OTHER_REQUESTS.values(), ids=OTHER_REQUESTS)
def test_a_key_is_valid_for_one_path_query_and_body(client, send):
    assert post_ingredient(client).status_code == 201
    answer = send(client)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency-key-reused")
    assert answer.json["errors"][0]["header"] == "Idempotency-Key"
    assert "Idempotent-Replayed" not in answer.headers


def test_a_repeated_body_may_have_its_members_in_another_order(client):
    first, second = (
        client.post("/api/v2/ingredients", data=body, content_type="application/json", headers=KEY)
        for body in (
            '{"name":"Root","description":null}',
            '{ "description": null, "name": "Root" }',
        )
    )
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.get_data() == first.get_data()


@pytest.mark.parametrize("key", ["a", "!", "~", "a" * 255, '"quoted"', "/?#[]@:,;="])
def test_a_key_is_1_to_255_visible_ascii_characters(client, key):
    first, second = post_ingredient(client, key), post_ingredient(client, key)
    assert (first.status_code, second.data) == (201, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", " ", "a b", "a\tb", "a" * 256, "\x7f", "caf\xe9", "\xa0"])
def test_a_malformed_key_is_400_and_nothing_is_created(client, key):
    answer = post_ingredient(client, key)
    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")
    assert [error["header"] for error in answer.json["errors"]] == ["Idempotency-Key"]
    assert client.get("/api/v2/ingredients").json == []


# Expiry


def make_older(hours):
    """Set the creation of all keys back."""
    statement = "UPDATE idempotency_keys SET created_at = created_at - make_interval(mins => :mins)"
    db.session.execute(text(statement), {"mins": round(hours * 60)})
    db.session.commit()


def test_a_key_is_valid_for_24_hours(client):
    body = of(make_product())
    first = client.post("/api/v2/orders", json=body, headers=KEY)
    make_older(hours=23.9)
    replayed = client.post("/api/v2/orders", json=body, headers=KEY)
    assert (replayed.status_code, replayed.data) == (201, first.data)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    make_older(hours=0.2)
    second = client.post("/api/v2/orders", json=body, headers=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json["pk"] != first.json["pk"]
    assert "Idempotent-Replayed" not in second.headers


def test_an_expired_key_can_be_used_for_another_request(client):
    """Also if many other keys expired before it."""
    for number in range(25):
        post_ingredient(client, f"older-{number}", name=f"Root {number}")
    make_older(hours=1)
    assert post_ingredient(client).status_code == 201
    make_older(hours=24.1)
    assert post_ingredient(client, name="Stem").status_code == 201


def test_only_expired_keys_are_deleted(client):
    for number in range(30):
        post_ingredient(client, f"expired-{number}", name=f"Root {number}")
    make_older(hours=24.1)
    post_ingredient(client, "valid", name="Stem")
    post_ingredient(client, "newest", name="Leaf")
    assert stored_responses.delete_expired_responses() == 30
    assert set(db.session.scalars(text("SELECT key FROM idempotency_keys"))) == {"valid", "newest"}


def post_order(client, headers, **values):
    body = {"items": [], **values}
    return client.post("/api/v2/orders", json=body, headers=headers | KEY)


def test_a_repetition_needs_the_permissions_of_the_first_request(client_with_auth):
    """Also those that no operation names: here the permission to redeem coupons."""
    make_coupon(code="SAGE")
    order, buyer = of(make_product(), coupon_code="SAGE"), make_user()
    first = post_order(client_with_auth, sign_in(buyer), **order)
    assert first.status_code == 201
    narrow = post_order(client_with_auth, sign_in(buyer, "orders:write"), **order)
    assert narrow.status_code == 403
    assert narrow.json["errors"][0]["permission"] == "coupons:redeem"
    wide = sign_in(buyer, "orders:write", "coupons:redeem", "me:read")
    again = post_order(client_with_auth, wide, **order)
    assert (again.status_code, again.text) == (201, first.text)


def test_a_repetition_needs_the_permission_for_rows_of_others(client_with_auth):
    admin, order = make_user(role="admin"), make_order()
    url = f"/api/v2/orders/{order.pk}/pay"
    first = client_with_auth.post(url, headers=sign_in(admin) | KEY)
    assert first.status_code == 200
    narrow = sign_in(admin, "orders:write", "orders:read:any")
    refused = client_with_auth.post(url, headers=narrow | KEY)
    assert refused.status_code == 403
    assert refused.json["errors"][0]["permission"] == "orders:write:any"


def test_the_oldest_keys_of_a_caller_give_way(app, client_with_auth, monkeypatch):
    monkeypatch.setitem(app.extensions, "max_idempotency_keys", 10)
    admin, other = sign_in(make_user(role="admin")), sign_in(make_user(role="admin"))

    def post(number, headers):
        headers = headers | {"Idempotency-Key": f"key {number}".replace(" ", "-")}
        body = {"name": f"Ingredient {number}"}
        answer = client_with_auth.post("/api/v2/ingredients", json=body, headers=headers)
        assert answer.status_code == 201
        # All times within a test are the same: PostgreSQL has the time of the transaction.
        db.session.execute(
            text("UPDATE idempotency_keys SET created_at = created_at - :step"), STEP
        )
        return "Idempotent-Replayed" in answer.headers

    assert not any(post(number, each) for number in range(12) for each in (admin, other))
    assert all(post(number, admin) for number in range(2, 12))
    assert not any(post(number, admin) for number in range(2))


def test_a_quote_is_computed_again(client):
    """Its answer changes nothing, so it needs no key, and none is stored."""
    product = make_product(price="1.00")
    assert client.post("/api/v2/orders/quote", json=of(product), headers=KEY).status_code == 200
    patch(client, f"products/{product.pk}", price="2.00")
    again = client.post("/api/v2/orders/quote", json=of(product), headers=KEY)
    assert again.json["totals"][0]["total"] == "2.00"
    assert "Idempotent-Replayed" not in again.headers


def test_the_same_bytes_as_another_media_type_are_another_request(client):
    url, body = "/api/v2/ingredients/batch", b'{"name": "Salt"}'
    media_types = ["application/x-ndjson", "text/csv", "application/json"]
    responses = [
        client.post(url, data=body, headers=KEY | {"Content-Type": media_type})
        for media_type in [*media_types, media_types[0]]
    ]
    assert [response.status_code for response in responses] == [201, 422, 422, 201]
    assert {response.json["code"] for response in responses[1:3]} == {"idempotency-key-reused"}
    assert responses[3].headers["Idempotent-Replayed"] == "true"
