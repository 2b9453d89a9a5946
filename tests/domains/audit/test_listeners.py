"""What statements do without the help of the session is in the log, with it or not at all."""

from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Redemption
from alchemist.domains.ingredients.models import Ingredient
from tests.factories import make_coupon, make_ingredient, make_order, make_product

ANY = {"If-Match": "*"}
ENTRIES = text("SELECT action, resource, fields FROM audit_log WHERE resource_pk = :pk ORDER BY pk")


def entries(pk):
    return [tuple(entry) for entry in db.session.execute(ENTRIES, {"pk": pk})]


@pytest.fixture
def noted(client):
    """The key of a row of which the log was told, in a transaction that is still going on."""
    pk = uuid7()
    db.session.execute(text("UPDATE ingredients SET name = name"))
    db.audit("update", Ingredient, pk, "name", "description")
    return pk


EXPECTED = [("update", "ingredients", ["description", "name"])]


def test_a_note_is_written_with_the_next_flush(noted):
    assert entries(noted) == []
    make_ingredient()
    assert entries(noted) == EXPECTED


def test_a_note_is_written_before_a_commit_that_flushes_nothing(noted):
    db.session.commit()
    assert entries(noted) == EXPECTED


def test_a_note_is_written_once(noted):
    make_ingredient()
    make_ingredient()
    db.session.commit()
    assert entries(noted) == EXPECTED


def test_notes_are_written_in_their_order(noted):
    db.audit("delete", Ingredient, noted)
    db.session.commit()
    assert entries(noted) == [*EXPECTED, ("delete", "ingredients", [])]


def test_a_note_of_what_was_rolled_back_is_forgotten(noted):
    db.session.rollback()
    make_ingredient()
    db.session.commit()
    assert entries(noted) == []


def test_a_note_of_what_was_undone_is_forgotten(client):
    pk = uuid7()
    with db.rolled_back():
        db.audit("update", Ingredient, pk, "name")
    make_ingredient()
    db.session.commit()
    assert entries(pk) == []


def test_a_note_that_was_written_inside_of_what_was_undone_is_undone(client):
    pk = uuid7()
    with db.rolled_back():
        db.audit("update", Ingredient, pk, "name")
        make_ingredient()
        assert entries(pk) != []
    db.session.commit()
    assert entries(pk) == []


def test_a_note_of_before_is_kept_when_something_else_is_undone(noted):
    with db.rolled_back():
        db.audit("update", Ingredient, uuid7(), "name")
    db.session.commit()
    assert entries(noted) == EXPECTED


def test_a_note_of_before_is_kept_when_a_flush_fails_in_a_savepoint(noted):
    other = uuid7()
    with suppress(IntegrityError), db.session.begin_nested():
        db.audit("update", Ingredient, other, "name")
        make_ingredient(name="")
    db.session.commit()
    assert entries(noted) == EXPECTED
    assert entries(other) == []


def test_a_note_of_a_savepoint_that_was_kept_goes_with_the_one_around_it(client):
    pk = uuid7()
    with db.rolled_back(), db.session.begin_nested():
        db.audit("update", Ingredient, pk, "name")
    db.session.commit()
    assert entries(pk) == []


def test_a_note_of_one_session_is_none_of_the_next(noted):
    db.session.remove()
    make_ingredient()
    db.session.commit()
    assert entries(noted) == []


# What the market notes


def test_a_redemption_is_noted_with_its_fields(client):
    coupon = make_coupon()
    created = client.post(f"/api/v2/coupons/{coupon.pk}/redemptions")
    assert created.status_code == 201
    assert entries(created.json["pk"]) == [
        ("create", "redemptions", ["coupon_id", "order_id", "user_id"])
    ]


def test_a_redemption_of_an_order_is_followed_to_its_release(client):
    order = make_order(coupon_code=make_coupon().code)
    response = client.post(f"/api/v2/orders/{order.pk}/cancel")
    assert response.status_code == 200
    assert [action for action, *_ in entries(order.redemption_id)] == ["create", "update"]
    assert entries(order.redemption_id)[1] == ("update", "redemptions", ["released_at"])
    assert entries(order.pk)[-1] == ("update", "orders", ["status"])


def test_a_redemption_that_is_refused_leaves_no_entry(client):
    coupon = make_coupon(init_count=0)
    response = client.post(f"/api/v2/coupons/{coupon.pk}/redemptions")
    assert response.status_code == 409
    assert count("redemptions") == 0


def test_a_quote_leaves_no_entry(client):
    product, coupon = make_product(stock=3), make_coupon()
    body = {
        "items": [{"product_id": str(product.pk), "quantity": 1}],
        "coupon_code": coupon.code,
    }
    assert client.post("/api/v2/orders/quote", json=body).status_code == 200
    assert count("orders") == count("redemptions") == 0
    assert client.post("/api/v2/orders", json=body).status_code == 201
    assert count("orders") == count("redemptions") == 1


def test_an_order_that_is_refused_under_a_key_leaves_no_entry(client):
    """The coupon was redeemed by then, the stock was not there, and the key is kept."""
    product, coupon = make_product(stock=0), make_coupon()
    body = {
        "items": [{"product_id": str(product.pk), "quantity": 1}],
        "coupon_code": coupon.code,
    }
    headers = {"Idempotency-Key": "one"}
    response = client.post("/api/v2/orders", json=body, headers=headers)
    assert (response.status_code, response.json["errors"][0]["code"]) == (409, "out-of-stock")
    assert count("orders") == count("redemptions") == 0


def test_a_replayed_redemption_is_noted_once(client):
    url = f"/api/v2/coupons/{make_coupon().pk}/redemptions"
    for _ in range(2):
        client.post(url, headers={"Idempotency-Key": "one"})
    assert count("redemptions") == 1


def test_a_restocking_is_an_update_of_the_stock(client):
    product = make_product(stock=3)
    client.post(f"/api/v2/products/{product.pk}/restock", json={"quantity": 1})
    assert entries(product.pk)[1:] == [("update", "products", ["stock"])]


def test_a_stock_that_an_order_moves_is_told_by_the_order(client):
    product = make_product(stock=3)
    before = entries(product.pk)
    order = make_order(product)
    client.post(f"/api/v2/orders/{order.pk}/cancel")
    assert entries(product.pk) == before
    assert [action for action, *_ in entries(order.pk)] == ["create", "update"]


def count(resource):
    statement = text("SELECT count(*) FROM audit_log WHERE resource = :resource")
    return db.session.scalar(statement, {"resource": resource})


def test_a_use_that_was_given_back_before_is_not_given_back_again(client):
    coupon = make_coupon()
    pk = coupons.redeem(coupon, None).pk
    for _ in range(2):
        coupons.release(pk)
    db.session.commit()
    redemption = db.session.get(Redemption, pk, populate_existing=True)
    db.session.refresh(coupon)
    assert (redemption.version, coupon.remaining_count) == (2, 10)
