"""Batches: many rows in one request, all or none, as many single requests would store them."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, inspect, select

from alchemist import database as db
from alchemist.api.batch_resource import MAX_ENTRIES
from alchemist.api.rate_limits import COSTLY_REQUESTS, RateLimiter
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.ingredients.models import Ingredient
from tests.factories import (
    MODELS,
    bearer,
    make_ingredient,
    make_store,
    make_token,
    make_user,
    sign_in,
)
from tests.properties import given, settings, st
from tests.resources import BATCHES, WITH_REFERENCE, Bodies

# They differ by nature.
VARYING = {"pk", "created_at", "updated_at"}


@pytest.fixture
def bodies(client):
    return Bodies()


@pytest.fixture
def post(client):
    def send(resource, entries, query="", **headers):
        return client.post(f"/api/v2/{resource}/batch{query}", json=entries, headers=headers)

    return send


def stored_rows(resource, pks):
    """Return the columns, the children and the audit entry of each row, without what varies."""
    model = MODELS[resource]
    return [_stored_row(db.session.get(model, pk, populate_existing=True)) for pk in pks]


def _stored_row(row):
    columns = {c.key: getattr(row, c.key) for c in inspect(row).mapper.column_attrs}
    children = [
        tuple(getattr(child, column.key) for column in inspect(child).mapper.column_attrs)[1:]
        for relationship in inspect(type(row)).relationships
        if relationship.uselist
        for child in db.session.scalars(
            select(relationship.mapper.class_)
            .where(next(iter(relationship.remote_side)) == row.pk)
            .order_by("position")
        )
    ]
    entries = db.session.execute(
        select(AuditEntry.action, AuditEntry.fields, AuditEntry.changes, AuditEntry.resource)
        .where(AuditEntry.resource_pk == row.pk)
        .order_by(AuditEntry.pk)
    ).all()
    return {k: v for k, v in columns.items() if k not in VARYING}, children, entries


def count(model=Ingredient):
    return db.session.scalar(select(func.count()).select_from(model))


def test_every_batch_is_tested_here(app):
    paths = app.extensions["versions"]["v2"].document["paths"]
    batches = {path.split("/")[3] for path in paths if path.endswith("/batch")}
    assert batches == set(BATCHES)


@pytest.mark.parametrize("resource", BATCHES)
def test_a_batch_stores_what_single_requests_store(client, bodies, post, resource):
    entries = bodies.of(resource, range(5))
    batch = post(resource, entries)
    assert batch.status_code == 201, batch.text
    in_batch = stored_rows(resource, [row["pk"] for row in batch.json])
    db.session.execute(
        db.table(MODELS[resource])
        .delete()
        .where(db.table(MODELS[resource]).c.pk == func.any([UUID(row["pk"]) for row in batch.json]))
    )
    singles = [client.post(f"/api/v2/{resource}", json=entry) for entry in entries]
    assert stored_rows(resource, [row.json["pk"] for row in singles]) == in_batch
    assert [list(row) for row in batch.json] == [list(row.json) for row in singles]


@pytest.mark.parametrize("resource", BATCHES)
def test_the_rows_are_answered_in_order_as_they_are_stored(client, bodies, post, resource):
    rows = post(resource, bodies.of(resource, range(5))).json
    assert rows == [client.get(f"/api/v2/{resource}/{row['pk']}").json for row in rows]
    assert [row["pk"] for row in rows] == sorted(row["pk"] for row in rows)


@pytest.mark.parametrize("resource", BATCHES)
@pytest.mark.parametrize("query", ["", "?on_conflict=update"])
def test_the_number_of_statements_does_not_depend_on_the_number_of_rows(
    client, bodies, post, statements, resource, query
):
    if query and resource not in WITH_REFERENCE:
        pytest.skip("It has no references.")
    seen = []
    for first, last in ((0, 2), (2, 42)):
        entries = bodies.of(resource, range(first, last))
        with statements() as of_batch:
            assert post(resource, entries, query).status_code == 201
        seen.append(len(of_batch))
    assert seen[0] == seen[1] <= 5


def test_a_batch_stores_nothing_if_one_entry_is_wrong(client, post):
    response = post("ingredients", [{"name": "Sage"}, {"name": ""}, 3, {"nam": "x"}])
    assert (response.status_code, response.json["code"]) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in response.json["errors"]] == [
        ("#/1/name", "too-short"),
        ("#/2", "wrong-type"),
        ("#/3/name", "required"),
        ("#/3/nam", "unknown-field"),
    ]
    assert count() == 0


def test_at_most_100_errors_are_listed(post):
    response = post("ingredients", [{}] * 300)
    assert len(response.json["errors"]) == 100
    assert response.json["unlisted_errors"] == 200


def test_read_only_fields_are_named(post):
    response = post("ingredients", [{"name": "a"}, {"name": "a", "pk": str(uuid4())}])
    assert [(e["pointer"], e["code"]) for e in response.json["errors"]] == [("#/1/pk", "read-only")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "a"}, "wrong-type"),
        ([], "too-short"),
        ([{"name": "a"}] * (MAX_ENTRIES + 1), "too-long"),
    ],
)
def test_a_batch_is_an_array_of_1_to_500_entries(post, body, code):
    response = post("ingredients", body)
    assert response.status_code == 422
    assert [(e["pointer"], e["code"]) for e in response.json["errors"]] == [("#", code)]


def test_the_errors_of_the_query_are_reported_with_those_of_the_entries(post):
    response = post("ingredients", [{}], "?on_conflict=ignore&colour=red")
    assert [e.get("parameter", e.get("pointer")) for e in response.json["errors"]] == [
        "on_conflict",
        "colour",
        "#/0/name",
    ]
    assert post("heroes", [{"nickname": "Ada"}], "?on_conflict=ignore").status_code == 422


def test_every_unknown_reference_is_reported(post):
    known, unknown = str(make_ingredient().pk), str(uuid4())
    response = post(
        "potions",
        [
            {"name": "a", "ingredients": [known, unknown]},
            {"name": "b", "ingredients": [known, known]},
            {"name": "c", "ingredients": [{"pk": unknown}]},
        ],
    )
    assert [(e["pointer"], e["code"]) for e in response.json["errors"]] == [
        ("#/0/ingredients/1", "unknown-reference"),
        ("#/1/ingredients/1", "duplicate"),
        ("#/2/ingredients/0/pk", "unknown-reference"),
    ]


def test_a_price_that_its_currency_lacks_is_reported_with_other_errors(post, bodies):
    entries = bodies.of("products", range(3))
    entries[1]["price"] = "1.555"
    entries[2]["name"] = ""
    pointers = [e["pointer"] for e in post("products", entries).json["errors"]]
    assert pointers == ["#/1/price", "#/2/name"]


@pytest.mark.parametrize(
    ("resource", "field", "value"),
    [
        ("ingredients", "reference", "erp-1"),
        ("products", "name", "P 0"),
        ("coupons", "code", "sage0"),
        ("heroes", "nickname", "ADA 0"),
        ("users", "email", "ada0@alchemist.example"),
    ],
)
def test_unique_values_conflict_with_stored_rows_and_with_each_other(
    bodies, post, resource, field, value
):
    entries = bodies.of(resource, range(3))
    entries[0][field] = value
    assert post(resource, entries).status_code == 201
    others = bodies.of(resource, range(10, 14))
    others[2][field] = value
    response = post(resource, others)
    assert (response.status_code, response.json["code"]) == (409, "already-exists")
    [error] = response.json["errors"]
    assert error["pointer"] == f"#/2/{field}"
    assert error["detail"].endswith(f'It is "{value}".')
    others[3][field] = value
    response = post(resource, others)
    assert (response.status_code, response.json["code"]) == (422, "duplicate")
    assert [error["pointer"] for error in response.json["errors"]] == [f"#/3/{field}"]


def test_duplicates_are_reported_with_the_other_errors(post):
    entries = [
        {"code": "Sage", "init_count": 1, "reference": "r"},
        {"code": "SAGE", "init_count": -1},
        {"init_count": 1, "reference": "r"},
    ]
    response = post("coupons", entries)
    assert response.status_code == 422
    assert sorted((e["pointer"], e["code"]) for e in response.json["errors"]) == [
        ("#/1/code", "duplicate"),
        ("#/1/init_count", "out-of-range"),
        ("#/2/code", "required"),
        ("#/2/reference", "duplicate"),
    ]


def test_a_taken_value_may_read_like_the_number_of_an_entry(post):
    reference = "Entry 999 of this request"
    assert post("ingredients", [{"name": "a", "reference": reference}]).status_code == 201
    response = post("ingredients", [{"name": "b", "reference": reference}])
    assert response.status_code == 409
    assert response.json["detail"].endswith(f'It is "{reference}".')


def test_every_conflict_is_reported(post):
    post("coupons", [{"code": f"c{n}", "init_count": 1, "reference": f"r{n}"} for n in range(4)])
    entries = [{"code": f"c{n + 2}", "init_count": 1, "reference": f"r{n}"} for n in range(4)]
    errors = post("coupons", entries).json["errors"]
    assert [error["pointer"] for error in errors] == [
        *("#/0/code", "#/0/reference", "#/1/code", "#/1/reference"),
        *("#/2/reference", "#/3/reference"),
    ]


def test_500_ingredients_and_200_potions_take_two_requests(post):
    ingredients = post("ingredients", [{"name": f"Ingredient {n}"} for n in range(500)])
    pks = [row["pk"] for row in ingredients.json]
    potions = [{"name": f"Potion {n}", "ingredients": pks[n : n + 5]} for n in range(200)]
    response = post("potions", potions)
    assert (ingredients.status_code, response.status_code) == (201, 201)
    assert [len(row["ingredients"]) for row in response.json] == [5] * 200


def test_an_idempotency_key_holds_for_the_whole_batch(post):
    entries, key = [{"name": f"Sage {n}"} for n in range(3)], {"Idempotency-Key": "a"}
    first, again = (post("ingredients", entries, **key) for _ in range(2))
    assert (first.data, first.status_code) == (again.data, again.status_code)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert count() == 3
    assert post("ingredients", entries[:2], **key).status_code == 422


def test_a_conflict_is_stored_under_its_key(post):
    post("ingredients", [{"name": "a", "reference": "r"}])
    responses = [
        post("ingredients", [{"name": "b", "reference": "r"}], **{"Idempotency-Key": "a"})
        for _ in range(2)
    ]
    assert [response.status_code for response in responses] == [409, 409]
    assert [error["pointer"] for error in responses[1].json["errors"]] == ["#/0/reference"]


def test_a_dry_run_of_a_batch_stores_nothing(post):
    response = post("ingredients", [{"name": "Sage"}], "?dry_run=true")
    assert (response.status_code, response.headers["Dry-Run"]) == (201, "true")
    assert response.json[0]["name"] == "Sage"
    assert (count(), count(AuditEntry)) == (0, 0)


def test_a_batch_is_a_costly_request(app, post, monkeypatch):
    monkeypatch.setitem(app.extensions, "rate_limiter", RateLimiter({COSTLY_REQUESTS: 1}))
    statuses = [post("ingredients", [{"name": "Sage"}]).status_code for _ in range(2)]
    assert statuses == [201, 429]


def test_a_merchant_creates_products_of_own_stores_only(client_with_auth):
    merchant, stranger = make_user(role="merchant"), make_user(role="merchant")
    own, other = make_store(owner_id=merchant.pk), make_store(owner_id=stranger.pk)
    entries = [
        {"name": f"P {n}", "price": "1", "store_id": str(store.pk)}
        for n, store in enumerate([own, other, own, other])
    ]
    headers = sign_in(merchant)
    path = "/api/v2/products/batch"
    response = client_with_auth.post(path, json=entries, headers=headers)
    assert response.status_code == 403
    assert [(e["pointer"], e["permission"]) for e in response.json["errors"]] == [
        ("#/1/store_id", "products:write:any"),
        ("#/3/store_id", "products:write:any"),
    ]
    assert client_with_auth.post(path, json=entries[::2], headers=headers).status_code == 201


def test_rows_belong_to_the_caller_unless_they_name_an_owner(client_with_auth):
    user = make_user()
    entries = [{"nickname": "A"}, {"nickname": "B", "user_id": str(user.pk)}]
    headers = sign_in(user)
    response = client_with_auth.post("/api/v2/heroes/batch", json=entries, headers=headers)
    assert {row["user_id"] for row in response.json} == {str(user.pk)}
    entries = [{"nickname": "C"}, {"nickname": "D", "user_id": str(make_user().pk)}]
    response = client_with_auth.post("/api/v2/heroes/batch", json=entries, headers=headers)
    assert response.status_code == 403
    assert [error["pointer"] for error in response.json["errors"]] == ["#/1/user_id"]


def test_a_user_with_more_permissions_than_the_caller_is_403(client_with_auth):
    admin = make_user(role="admin")
    token = bearer(make_token(admin, permissions=["users:write", "users:read"]))
    entries = [
        {"email": f"a{n}@alchemist.example", "full_name": "A", "role": role}
        for n, role in enumerate(["admin", "customer", "merchant"])
    ]
    response = client_with_auth.post("/api/v2/users/batch", json=entries, headers=token)
    assert response.status_code == 403
    assert [error["pointer"] for error in response.json["errors"]] == ["#/0", "#/1", "#/2"]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@settings(max_examples=15)
@given(names=st.lists(TEXTS, min_size=1, max_size=6))
def test_any_names_are_stored_or_rejected_as_by_single_requests(client, names):
    db.session.rollback()
    entries = [{"name": name} for name in names]
    batch = client.post("/api/v2/ingredients/batch", json=entries)
    singles = [client.post("/api/v2/ingredients", json=entry) for entry in entries]
    if batch.status_code == 201:
        assert [row["name"] for row in batch.json] == [single.json["name"] for single in singles]
    else:
        wrong = [f"#/{n}/name" for n, each in enumerate(singles) if each.status_code == 422]
        assert [error["pointer"] for error in batch.json["errors"]] == wrong
