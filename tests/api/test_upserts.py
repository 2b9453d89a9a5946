"""Batches with `on_conflict=update`: rows are found by reference, and updated as by PATCH."""

from threading import Barrier, Thread

import pytest
from sqlalchemy import select

from alchemist import database as db
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.products.models import Product
from tests.factories import (
    make_coupon,
    make_ingredient,
    make_potion,
    make_product,
    make_row,
    make_store,
    make_user,
    sign_in,
)
from tests.resources import WITH_REFERENCE, Bodies, unique_fields

CHANGES = {
    "ingredients": {"name": "Changed", "description": "x"},
    "potions": {"name": "Changed"},
    "stores": {"city": "Changed"},
    "products": {"price": "7.77", "stock": 3, "name": "Changed"},
    "coupons": {"init_count": 20, "percent_off": 5},
}


def changes_of(resource):
    """Return changes of fields that are not unique; those of a new resource are all such fields."""
    if resource in CHANGES:
        return dict(CHANGES[resource])
    body = Bodies().one(resource, 1)
    names = body.keys() - unique_fields(resource)
    return {name: body[name] for name in names if not isinstance(body[name], list)}


@pytest.fixture
def upsert(client):
    def send(resource, entries, **headers):
        url = f"/api/v2/{resource}/batch?on_conflict=update"
        return client.post(url, json=entries, headers=headers)

    return send


def make_referenced(resource, count):
    """Make rows with the references r0, r1, …"""
    rows = [make_row(resource) for _ in range(count)]
    for number, row in enumerate(rows):
        db.update(row, {"reference": f"r{number}"})
    return rows


def audit_entries(row):
    query = select(AuditEntry.action, AuditEntry.fields, AuditEntry.changes)
    mine = query.where(AuditEntry.resource_pk == row.pk).order_by(AuditEntry.pk)
    return db.session.execute(mine).all()


def stored(row):
    table = db.table(type(row))
    return dict(db.session.execute(select(table).where(table.c.pk == row.pk)).mappings().one())


@pytest.mark.parametrize("resource", WITH_REFERENCE)
def test_an_entry_updates_its_row_as_a_patch_does(client, upsert, resource):
    rows = make_referenced(resource, 2)
    changes = changes_of(resource)
    response = upsert(resource, [{"reference": "r0", **changes}])
    assert response.status_code == 200, response.text
    url = f"/api/v2/{resource}/{rows[1].pk}"
    patched = client.patch(url, json=changes, headers={"If-Match": "*"})
    assert patched.status_code == 200, patched.text
    varying = {"pk", "reference", "name", "created_at", "updated_at", "store_id", "store", "code"}
    varying |= {"ingredients"} - changes.keys()
    [batch], single = response.json, patched.json
    assert {k: v for k, v in batch.items() if k not in varying} == {
        k: v for k, v in single.items() if k not in varying
    }
    assert changes.items() <= batch.items()
    assert batch == client.get(f"/api/v2/{resource}/{rows[0].pk}").json
    # Derived columns, versions and audit entries, too.
    of_batch, of_single = stored(rows[0]), stored(rows[1])
    same = {"version", "search_words", "used_before"} & of_batch.keys()
    assert of_batch["version"] == 3
    if "name" in changes:
        assert {n: of_batch[n] for n in same} == {n: of_single[n] for n in same}
    assert audit_entries(rows[0])[2:] == audit_entries(rows[1])[2:] != []


@pytest.mark.parametrize("resource", WITH_REFERENCE)
def test_an_entry_that_changes_nothing_leaves_row_and_audit_log(client, upsert, resource):
    [row] = make_referenced(resource, 1)
    representation = client.get(f"/api/v2/{resource}/{row.pk}").json
    before, entries = stored(row), audit_entries(row)
    response = upsert(resource, [representation])
    assert (response.status_code, response.json) == (200, [representation])
    assert (stored(row), audit_entries(row)) == (before, entries)


def test_existing_rows_are_updated_and_others_created_in_order(upsert):
    [row] = make_referenced("ingredients", 1)
    entries = [
        {"name": "New", "reference": "n"},
        {"name": "Changed", "reference": "r0"},
        {"name": "Plain"},
        {"name": "Cleared", "reference": None},
    ]
    response = upsert("ingredients", entries)
    assert response.status_code == 201
    assert [each["name"] for each in response.json] == [each["name"] for each in entries]
    assert response.json[1]["pk"] == str(row.pk)
    assert upsert("ingredients", entries[:2]).status_code == 200


def test_the_ingredients_of_potions_are_replaced_together(client, upsert, statements):
    first, second = make_ingredient(), make_ingredient()
    potions = [make_potion(first, reference=f"r{n}") for n in range(20)]
    entries = [
        {"reference": f"r{n}", "ingredients": [str(second.pk), str(first.pk)][n % 2 :]}
        for n in range(20)
    ]
    with statements() as of_two:
        assert upsert("potions", entries[:2]).status_code == 200
    with statements() as of_all:
        response = upsert("potions", entries)
    assert len(of_all) == len(of_two)
    for entry, potion, row in zip(entries, potions, response.json, strict=True):
        assert [line["pk"] for line in row["ingredients"]] == entry["ingredients"]
        assert row == client.get(f"/api/v2/potions/{potion.pk}").json
        assert len(audit_entries(potion)) == (2 if len(entry["ingredients"]) == 2 else 1)


@pytest.mark.parametrize("resource", WITH_REFERENCE)
def test_the_number_of_statements_of_an_update_is_constant(upsert, statements, resource):
    make_referenced(resource, 20)
    changes = changes_of(resource)
    changes.pop("name", None)
    seen = []
    for numbers in (range(2), range(2, 20)):
        entries = [{"reference": f"r{n}", **changes} for n in numbers]
        with statements() as of_batch:
            assert upsert(resource, entries).status_code == 200
        seen.append(len(of_batch))
    assert seen[0] == seen[1]


def test_the_rules_of_an_update_hold_with_the_number_of_the_entry(upsert):
    make_referenced("coupons", 1)
    used = make_coupon(init_count=5, remaining_count=2, reference="used")
    entries = [
        {"reference": "r0", "remaining_count": 1},
        {"reference": used.reference, "init_count": 4, "valid_from": "2030-01-01T00:00:00Z"},
    ]
    errors = upsert("coupons", entries).json["errors"]
    assert [(e["pointer"], e["code"]) for e in errors] == [("#/0/remaining_count", "read-only")]
    assert upsert("coupons", entries[1:]).json[0]["remaining_count"] == 1
    response = upsert("coupons", [{"reference": "r0"}, {"reference": "used", "init_count": 2}])
    assert response.status_code == 409
    [error] = response.json["errors"]
    assert (error["pointer"], error["detail"]) == ("#/1/init_count", "It has been used 3 times.")


def test_immutable_fields_may_be_repeated_but_not_changed(upsert):
    product, store = make_product(reference="r"), make_store()
    entry = {"reference": "r", "store_id": str(product.store_id), "price": "3.00"}
    assert upsert("products", [entry]).json[0]["price"] == "3.00"
    [error] = upsert("products", [entry | {"store_id": str(store.pk)}]).json["errors"]
    assert (error["pointer"], error["code"]) == ("#/0/store_id", "read-only")
    [error] = upsert("products", [{"reference": "r", "price": "3.001"}]).json["errors"]
    assert error["pointer"] == "#/0/price"


def test_a_row_of_another_user_is_403_with_its_entry(client_with_auth):
    merchant = make_user(role="merchant")
    make_store(owner_id=merchant.pk, reference="own")
    make_store(owner_id=make_user().pk, reference="other")
    entries = [{"reference": name, "city": "Changed"} for name in ("own", "other")]
    url = "/api/v2/stores/batch?on_conflict=update"
    headers = sign_in(merchant)
    response = client_with_auth.post(url, json=entries, headers=headers)
    assert response.status_code == 403
    [error] = response.json["errors"]
    assert (error["pointer"], error["permission"]) == ("#/1", "stores:write:any")
    assert client_with_auth.post(url, json=entries[:1], headers=headers).status_code == 200


def test_a_reference_twice_in_a_batch_is_a_duplicate(upsert):
    make_referenced("ingredients", 1)
    response = upsert("ingredients", [{"reference": "r0", "name": name} for name in "ab"])
    assert (response.status_code, response.json["code"]) == (422, "duplicate")
    assert [error["pointer"] for error in response.json["errors"]] == ["#/1/reference"]


def test_an_update_to_a_taken_value_is_409(upsert):
    make_coupon(code="taken")
    make_referenced("coupons", 2)
    entries = [{"reference": "r0", "percent_off": 1}, {"reference": "r1", "code": "TAKEN"}]
    response = upsert("coupons", entries)
    assert (response.status_code, response.json["code"]) == (409, "already-exists")
    [error] = response.json["errors"]
    assert error["pointer"] == "#/1/code"
    assert error["detail"].endswith('It is "TAKEN".')


def test_a_new_currency_of_a_store_is_checked_against_its_products(upsert):
    [store] = make_referenced("stores", 1)
    make_product(store, price="9.99")
    response = upsert("stores", [{"reference": "r0", "currency": "JPY"}])
    assert response.status_code == 409
    assert [error["pointer"] for error in response.json["errors"]] == ["#/0/currency"]
    assert upsert("stores", [{"reference": "r0", "currency": "USD"}]).status_code == 200
    assert db.session.scalar(select(Product.currency)) == "USD"


UNIQUE_MEMBERS = {
    "ingredients": "reference",
    "potions": "reference",
    "stores": "reference",
    "products": "name",
    "coupons": "code",
    "heroes": "nickname",
    "users": "email",
}


def make_siblings(resource, count):
    """Make rows of which none may have a unique value of another."""
    store = make_store()
    if resource == "products":
        return [make_product(store, name=f"Product {n}") for n in range(count)]
    rows = [make_row(resource) for _ in range(count)]
    if UNIQUE_MEMBERS[resource] == "reference":
        for number, row in enumerate(rows):
            db.update(row, {"reference": f"r{number}"})
    return rows


@pytest.mark.parametrize(("resource", "name"), UNIQUE_MEMBERS.items())
@pytest.mark.parametrize("order", [(1, 0), (1, 2, 0), (2, 0, 1)])
def test_rows_can_exchange_their_unique_values(client, upsert, resource, name, order):
    rows = make_siblings(resource, len(order))
    values = [getattr(row, name) for row in rows]
    entries = [
        {"pk": str(row.pk), name: values[number]} for row, number in zip(rows, order, strict=True)
    ]
    before = [len(audit_entries(row)) for row in rows]
    url = f"/api/v2/{resource}/batch?on_conflict=update&dry_run=true"
    assert client.post(url, json=entries).status_code == 200
    response = upsert(resource, entries)
    assert response.status_code == 200, response.text
    assert [row[name] for row in response.json] == [entry[name] for entry in entries]
    written = [audit_entries(row)[number:] for row, number in zip(rows, before, strict=True)]
    assert written == [[("update", [name], [])]] * len(rows)
    assert upsert(resource, entries).json == response.json


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_unique_value_can_be_moved_to_another_row_of_the_batch(upsert, is_reversed):
    first, second = make_siblings("coupons", 2)
    codes = first.code, second.code
    entries = [
        {"pk": str(first.pk), "code": second.code},
        {"pk": str(second.pk), "code": "Other"},
        {"code": first.code, "init_count": 1},
    ]
    response = upsert("coupons", entries[::-1] if is_reversed else entries)
    assert response.status_code == 201, response.text
    assert {row["code"] for row in response.json} == {*codes, "Other"}


def test_only_values_of_rows_outside_of_the_batch_are_taken(upsert):
    make_coupon(code="taken")
    rows = make_siblings("coupons", 3)
    codes = [rows[1].code, rows[0].code, "TAKEN"]
    entries = [{"pk": str(row.pk), "code": code} for row, code in zip(rows, codes, strict=True)]
    response = upsert("coupons", entries)
    assert response.status_code == 409
    assert [error["pointer"] for error in response.json["errors"]] == ["#/2/code"]


@pytest.mark.parametrize("resource", UNIQUE_MEMBERS)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_value_that_another_row_of_the_batch_keeps_is_a_duplicate(upsert, resource, is_reversed):
    first, second = make_siblings(resource, 2)
    name = UNIQUE_MEMBERS[resource]
    entries = [{"pk": str(first.pk)}, {"pk": str(second.pk), name: getattr(first, name)}]
    response = upsert(resource, entries[::-1] if is_reversed else entries)
    assert (response.status_code, response.json["code"]) == (422, "duplicate")
    pointers = [error["pointer"] for error in response.json["errors"]]
    assert pointers == [f"#/{0 if is_reversed else 1}/{name}"]


def test_a_row_that_two_entries_update_is_one_error(upsert):
    [row] = make_siblings("coupons", 1)
    db.update(row, {"reference": "r0"})
    response = upsert("coupons", [{"reference": "r0"}, {"reference": "r0", "code": "New"}])
    assert [error["pointer"] for error in response.json["errors"]] == ["#/1/reference"]
    by_pk, by_reference = {"pk": str(row.pk)}, {"reference": "r0", "code": "New"}
    response = upsert("coupons", [by_pk, by_reference])
    assert [error["pointer"] for error in response.json["errors"]] == ["#/1/reference"]
    response = upsert("coupons", [by_reference, by_pk])
    assert [error["pointer"] for error in response.json["errors"]] == ["#/1/pk"]


def test_an_idempotency_key_and_a_dry_run_hold_for_an_update(upsert, client):
    [row] = make_referenced("ingredients", 1)
    entries = [{"reference": "r0", "name": "Changed"}, {"reference": "n", "name": "New"}]
    url = "/api/v2/ingredients/batch?on_conflict=update&dry_run=true"
    before = stored(row)
    assert client.post(url, json=entries).json[0]["name"] == "Changed"
    assert stored(row) == before
    first, again = (upsert("ingredients", entries, **{"Idempotency-Key": "a"}) for _ in range(2))
    assert (first.status_code, first.data) == (again.status_code, again.data) != (200, b"")
    assert len(audit_entries(row)) == 3


@pytest.mark.slow
def test_writers_of_the_same_references_create_each_row_once(make_committing_app):
    """In opposite orders, with rows that exist and rows that do not."""
    app = make_committing_app()
    url = "/api/v2/ingredients/batch?on_conflict=update"
    names = [f"r{n}" for n in range(30)]
    statuses, barrier = [], Barrier(4)

    def write(number):
        order = names if number % 2 else names[::-1]
        for turn in range(5):
            entries = [{"reference": name, "name": f"{number} {turn}"} for name in order]
            barrier.wait()
            statuses.append(app.test_client().post(url, json=entries).status_code)

    threads = [Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 201}
    assert statuses.count(201) == 1
    rows = app.test_client().get("/api/v2/ingredients?limit=200").json
    assert sorted(row["reference"] for row in rows) == sorted(names)
    assert len({row["name"] for row in rows}) == 1
