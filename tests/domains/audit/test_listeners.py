"""Pending audit entries: statements outside of the unit of work queue them, a flush writes them."""

from contextlib import suppress
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Redemption
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.orders import service as orders
from tests.factories import make_coupon, make_ingredient, make_order, make_product

ANY = {"If-Match": "*"}
ENTRIES = text("SELECT action, resource, fields FROM audit_log WHERE resource_pk = :pk ORDER BY pk")


def entries(pk):
    return [tuple(entry) for entry in db.session.execute(ENTRIES, {"pk": pk})]


@pytest.fixture
def pending_pk(client):
    """The pk of a row with a pending audit entry, in an open transaction."""
    pk = uuid7()
    db.session.execute(text("UPDATE ingredients SET name = name"))
    db.queue_audit_entry("update", Ingredient, pk, "name", "description")
    return pk


EXPECTED = [("update", "ingredients", ["description", "name"])]


def test_a_pending_entry_is_written_with_the_next_flush(pending_pk):
    assert entries(pending_pk) == []
    make_ingredient()
    assert entries(pending_pk) == EXPECTED


def test_a_pending_entry_is_written_before_a_commit_without_a_flush(pending_pk):
    db.session.commit()
    assert entries(pending_pk) == EXPECTED


def test_a_pending_entry_is_written_once(pending_pk):
    make_ingredient()
    make_ingredient()
    db.session.commit()
    assert entries(pending_pk) == EXPECTED


def test_pending_entries_are_written_in_order(pending_pk):
    db.queue_audit_entry("delete", Ingredient, pending_pk)
    db.session.commit()
    assert entries(pending_pk) == [*EXPECTED, ("delete", "ingredients", [])]


def test_a_rollback_discards_pending_entries(pending_pk):
    db.session.rollback()
    make_ingredient()
    db.session.commit()
    assert entries(pending_pk) == []


def test_a_rollback_of_a_savepoint_discards_its_pending_entries(client):
    pk = uuid7()
    with db.rolled_back():
        db.queue_audit_entry("update", Ingredient, pk, "name")
    make_ingredient()
    db.session.commit()
    assert entries(pk) == []


def test_a_rollback_of_a_savepoint_removes_its_written_entries(client):
    pk = uuid7()
    with db.rolled_back():
        db.queue_audit_entry("update", Ingredient, pk, "name")
        make_ingredient()
        assert entries(pk) != []
    db.session.commit()
    assert entries(pk) == []


def test_a_rollback_of_a_savepoint_keeps_earlier_pending_entries(pending_pk):
    with db.rolled_back():
        db.queue_audit_entry("update", Ingredient, uuid7(), "name")
    db.session.commit()
    assert entries(pending_pk) == EXPECTED


def test_a_failed_flush_in_a_savepoint_keeps_earlier_pending_entries(pending_pk):
    rolled_back_pk = uuid7()
    with suppress(IntegrityError), db.session.begin_nested():
        db.queue_audit_entry("update", Ingredient, rolled_back_pk, "name")
        make_ingredient(name="")
    db.session.commit()
    assert entries(pending_pk) == EXPECTED
    assert entries(rolled_back_pk) == []


def test_a_rollback_discards_pending_entries_of_released_inner_savepoints(client):
    pk = uuid7()
    with db.rolled_back(), db.session.begin_nested():
        db.queue_audit_entry("update", Ingredient, pk, "name")
    db.session.commit()
    assert entries(pk) == []


def test_a_new_session_has_no_pending_entries(pending_pk):
    db.session.remove()
    make_ingredient()
    db.session.commit()
    assert entries(pending_pk) == []


# Coupons, products and orders


def test_a_redemption_has_an_entry_with_its_fields(client):
    coupon = make_coupon()
    created = client.post(f"/api/v2/coupons/{coupon.pk}/redemptions")
    assert created.status_code == 201
    assert entries(created.json["pk"]) == [
        ("create", "redemptions", ["coupon_id", "order_id", "user_id"])
    ]


def test_a_redemption_of_an_order_has_entries_up_to_its_release(client):
    order = make_order(coupon_code=make_coupon().code)
    response = client.post(f"/api/v2/orders/{order.pk}/cancel")
    assert response.status_code == 200
    assert [action for action, *_ in entries(order.redemption_id)] == ["create", "update"]
    assert entries(order.redemption_id)[1] == ("update", "redemptions", ["released_at"])
    assert entries(order.pk)[-1] == ("update", "orders", ["expires_at", "status"])


def test_a_rejected_redemption_leaves_no_entry(client):
    coupon = make_coupon(init_count=0)
    response = client.post(f"/api/v2/coupons/{coupon.pk}/redemptions")
    assert response.status_code == 409
    assert count_entries("redemptions") == 0


def test_a_quote_leaves_no_entry(client):
    product, coupon = make_product(stock=3), make_coupon()
    body = {
        "items": [{"product_id": str(product.pk), "quantity": 1}],
        "coupon_code": coupon.code,
    }
    assert client.post("/api/v2/orders/quote", json=body).status_code == 200
    assert count_entries("orders") == count_entries("redemptions") == 0
    assert client.post("/api/v2/orders", json=body).status_code == 201
    assert count_entries("orders") == count_entries("redemptions") == 1


def test_a_rejected_order_with_an_idempotency_key_leaves_no_entry(client):
    """The redemption of the coupon is rolled back when the stock is too low, the key is stored."""
    product, coupon = make_product(stock=0), make_coupon()
    body = {
        "items": [{"product_id": str(product.pk), "quantity": 1}],
        "coupon_code": coupon.code,
    }
    headers = {"Idempotency-Key": "one"}
    response = client.post("/api/v2/orders", json=body, headers=headers)
    assert (response.status_code, response.json["errors"][0]["code"]) == (409, "out-of-stock")
    assert count_entries("orders") == count_entries("redemptions") == 0


def test_a_replayed_redemption_leaves_one_entry(client):
    url = f"/api/v2/coupons/{make_coupon().pk}/redemptions"
    for _ in range(2):
        client.post(url, headers={"Idempotency-Key": "one"})
    assert count_entries("redemptions") == 1


def test_a_restocking_is_an_update_of_the_stock(client):
    product = make_product(stock=3)
    client.post(f"/api/v2/products/{product.pk}/restock", json={"quantity": 1})
    assert entries(product.pk)[1:] == [("update", "products", ["stock"])]


def count_entries(resource):
    statement = text("SELECT count(*) FROM audit_log WHERE resource = :resource")
    return db.session.scalar(statement, {"resource": resource})


def test_releasing_a_redemption_again_changes_nothing(client):
    coupon = make_coupon()
    pk = coupons.redeem(coupon, None).pk
    for _ in range(2):
        coupons.release(pk)
    db.session.commit()
    redemption = db.session.get(Redemption, pk, populate_existing=True)
    db.session.refresh(coupon)
    assert (redemption.version, coupon.remaining_count) == (2, 10)


def test_an_order_is_a_change_of_its_products_and_of_its_coupon(client, statements):
    products = [make_product(stock=5) for _ in range(3)]
    unlimited, coupon = make_product(stock=None), make_coupon()
    items = [{"product_id": str(each.pk), "quantity": 1} for each in (*products, unlimited)]
    with statements() as seen:
        order = client.post(
            "/api/v2/orders", json={"items": items, "coupon_code": coupon.code}
        ).json["pk"]
    assert len([each for each in seen if "INSERT INTO audit_log" in each]) == 1
    for product in products:
        assert entries(product.pk)[1:] == [("update", "products", ["stock"])]
    assert entries(unlimited.pk)[1:] == []
    assert entries(coupon.pk)[1:] == [("update", "coupons", ["remaining_count"])]
    with statements() as seen:
        assert client.post(f"/api/v2/orders/{order}/cancel").status_code == 200
    assert len([each for each in seen if "INSERT INTO audit_log" in each]) == 1
    for product in products:
        assert entries(product.pk)[1:] == [("update", "products", ["stock"])] * 2
    assert entries(coupon.pk)[1:] == [("update", "coupons", ["remaining_count"])] * 2


def test_an_order_that_is_rejected_changes_no_product(client):
    product, sold_out = make_product(stock=5), make_product(stock=0)
    items = [{"product_id": str(each.pk), "quantity": 1} for each in (product, sold_out)]
    for headers in ({}, {"Idempotency-Key": "one"}):
        response = client.post("/api/v2/orders", json={"items": items}, headers=headers)
        assert response.status_code == 409
        assert client.post("/api/v2/orders/quote", json={"items": items[:1]}).status_code == 200
        db.session.commit()
        assert entries(product.pk)[1:] == []


def test_an_expired_order_is_a_change_of_its_product(client):
    product = make_product(stock=5)
    make_order(product)
    db.session.execute(text("UPDATE orders SET expires_at = now() - interval '1 minute'"))
    orders.cancel_one_expired_order()
    db.session.commit()
    assert entries(product.pk)[1:] == [("update", "products", ["stock"])] * 2


def test_a_redemption_is_a_change_of_the_coupon_and_its_release_only_once(client):
    coupon = make_coupon()
    redemption = client.post(f"/api/v2/coupons/{coupon.pk}/redemptions").json["pk"]
    assert entries(coupon.pk)[1:] == [("update", "coupons", ["remaining_count"])]
    for _ in range(2):
        coupons.release(UUID(redemption))
        db.session.commit()
    assert entries(coupon.pk)[1:] == [("update", "coupons", ["remaining_count"])] * 2
    assert entries(redemption)[1:] == [("update", "redemptions", ["released_at"])]
