"""Batches as CSV and NDJSON: what a list returns can be sent back."""

import json
from itertools import count
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from alchemist import database as db
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.users.models import User
from tests.factories import (
    make_coupon,
    make_hero,
    make_ingredient,
    make_potion,
    make_product,
    make_row,
    make_store,
    make_user,
    sign_in,
)
from tests.properties import given, settings, st
from tests.resources import BATCHES

CSV, NDJSON = "text/csv", "application/x-ndjson"


@pytest.fixture
def send(client):
    """Return a function that sends a batch in a media type."""

    def call(resource, body, *, media_type=CSV, query="?on_conflict=update", **headers):
        url = f"/api/v2/{resource}/batch{query}"
        data = body if isinstance(body, bytes) else body.encode()
        return client.post(url, data=data, headers={"Content-Type": media_type, **headers})

    return call


def lines(*texts):
    return "\r\n".join(texts) + "\r\n"


def error(answer, status):
    assert answer.status_code == status, answer.text
    [detail] = answer.json["errors"]
    return {name: detail.get(name) for name in ("pointer", "line", "column", "code")}


# New rows


def test_a_byte_order_mark_is_ignored(send):
    assert send("ingredients", "\ufeffname\nSalt\n").status_code == 201
    answer = send("ingredients", '\ufeff{"name": "Salt"}\n', media_type=NDJSON)
    assert answer.status_code == 201, answer.text


def test_no_more_columns_are_checked_than_there_can_be(send):
    answer = send("heroes", "role," * 200_000 + "\nx")
    assert answer.status_code == 422
    assert len(answer.json["errors"]) < 20
    assert error(send("heroes", "role,role\nmage,mage"), 422)["column"] == 2


def test_csv_creates_rows(send):
    body = lines("name,description", "Salt,", '"Sea ""salt""",""', "=1+1,-")
    answer = send("ingredients", body, query="")
    assert answer.status_code == 201, answer.text
    created = [(row["name"], row["description"]) for row in answer.json]
    assert created == [("Salt", None), ('Sea "salt"', ""), ("=1+1", "-")]


def test_ndjson_creates_rows(send):
    answer = send("ingredients", '{"name": "a"}\n\n{"name": "b"}', media_type=NDJSON, query="")
    assert [row["name"] for row in answer.json] == ["a", "b"]


def test_numbers_lists_and_empty_columns_of_csv(send):
    salt = make_ingredient()
    cell = json.dumps([str(salt.pk), {"pk": str(make_ingredient().pk), "amount": "1.5"}])
    quoted = cell.replace('"', '""')
    answer = send("potions", lines("pk,name,ingredients", f',Brine,"{quoted}"'))
    assert answer.status_code == 201, answer.text
    assert [each["amount"] for each in answer.json[0]["ingredients"]] == [None, "1.500"]
    store = make_store()
    answer = send(
        "products", lines("store_id,name,price,stock", f"{store.pk},A,9.99,7", f"{store.pk},B,1,")
    )
    assert [(row["price"], row["stock"]) for row in answer.json] == [("9.99", 7), ("1.00", None)]
    answer = send("users", lines("email,full_name,role", "ada@alchemist.example,Ada,"))
    assert answer.json[0]["role"] == "customer"


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ('name\nSalt\n""\n', 422, ("#/1/name", 3, 1, "too-short")),
        ('description,name\n"a\nb",Salt\nx,\n', 422, ("#/1/name", 4, 2, "required")),
        ("name,colour\nSalt,red\n", 422, (None, 1, 2, "unknown-field")),
        ("name,name\nSalt,Salt\n", 422, (None, 1, 2, "duplicate")),
        (
            "name,created_at\nSalt,2026\n",
            422,
            ("#/0/created_at", 2, 2, "read-only"),
        ),
        ("name\nSalt,Pepper\n", 400, (None, 2, None, "malformed-request")),
        ('name\n"Salt\n', 400, (None, 2, None, "malformed-request")),
        ('name\nSa"lt"\n', 400, (None, 2, 1, "malformed-request")),
        ("name;description\nSalt;x\n", 400, (None, 1, None, "malformed-request")),
        (b"name\n\xff\n", 400, (None, 2, None, "malformed-request")),
    ],
)
def test_a_mistake_in_csv_has_its_line_and_column(send, body, status, expected):
    answer = send("ingredients", body)
    assert tuple(error(answer, status).values()) == expected


def test_a_mistake_in_ndjson_has_its_line(send):
    answer = send("ingredients", '{"name": "a"}\n\n{"name": ""}\n', media_type=NDJSON)
    assert error(answer, 422) == {
        "pointer": "#/1/name",
        "line": 3,
        "column": None,
        "code": "too-short",
    }
    answer = send("ingredients", '{"name": "a"}\n{"name"\n', media_type=NDJSON)
    assert error(answer, 400)["line"] == 2
    assert answer.json["detail"].endswith("at column 8.")


def test_wrong_json_in_a_column_is_400(send):
    answer = send("potions", lines("name,ingredients", "Brine,[x"))
    assert error(answer, 400) == {
        "pointer": None,
        "line": 2,
        "column": 2,
        "code": "malformed-request",
    }


def test_a_wrong_number_is_422(send):
    body = lines("store_id,name,price,stock", f"{make_store().pk},A,1,many")
    assert error(send("products", body), 422)["column"] == 4


@pytest.mark.parametrize(("body", "code"), [("", "malformed-request"), ("name\n", "too-short")])
def test_csv_needs_a_header_and_a_row(send, body, code):
    assert send("ingredients", body).json["code"] == code


def test_a_text_batch_has_at_most_500_entries(send):
    body = "name\n" + "a\n" * 501
    assert send("ingredients", body).json["code"] == "too-long"
    assert send("ingredients", "name\n" + "a\n" * 500).status_code == 201


@pytest.mark.parametrize(
    ("body", "line", "detail"),
    [
        ('"name";"reference"\n"Salt";"s"\n', 1, "The fields are separated by semicolons."),
        ('name;"reference"\nSalt;s\n', 1, "The fields are separated by semicolons."),
        ("name;reference\nSalt;s\n", 1, "The fields are separated by semicolons."),
        ('"name"\t"reference"\n', 1, "The fields are separated by tabs."),
        ('name,description\n"Salt";"s"\n', 2, "The fields are separated by semicolons."),
        ('[{"name": "Salt"}]', 1, "It is JSON, not CSV."),
        ('\ufeff{"name": "Salt"}\n', 1, "It is JSON, not CSV."),
        ("[\n{}\n]", 1, "It is JSON, not CSV."),
    ],
)
def test_text_that_is_not_csv_with_commas_is_named(send, body, line, detail):
    answer = send("ingredients", body)
    assert error(answer, 400)["line"] == line
    assert detail in answer.json["detail"]


@pytest.mark.parametrize("body", ['[{"name": "Salt"}]', '\ufeff[\n{"name": "Salt"}\n]\n'])
def test_a_json_array_is_not_ndjson(send, body):
    answer = send("ingredients", body, media_type=NDJSON)
    assert error(answer, 400)["line"] == 1
    assert "It is a JSON array." in answer.json["detail"]


def test_the_errors_of_the_query_are_reported_with_those_of_the_header(send):
    answer = send("ingredients", "colour\nred\n", query="?on_conflict=ignore")
    assert answer.status_code == 422
    places = [each.get("parameter", each.get("column")) for each in answer.json["errors"]]
    assert places == ["on_conflict", 1]


def test_another_entry_is_named_by_its_line(send):
    answer = send("coupons", lines("code,init_count", "a,1", "", "A,1"))
    assert error(answer, 422)["line"] == 4
    assert answer.json["detail"] == "Line 2 has it, too."


@pytest.mark.parametrize(("resource", "name"), [("stores", "owner_id"), ("heroes", "user_id")])
def test_an_empty_owner_of_a_new_row_is_the_caller(client_with_auth, resource, name):
    user = make_user(role="merchant")
    place = dict.fromkeys(("name", "street", "zipcode", "city", "country"), "Brassel")
    body = {"stores": place | {"currency": "EUR"}, "heroes": {"nickname": "Ada"}}[resource]
    url = f"/api/v2/{resource}/batch?on_conflict=update"
    headers = sign_in(user)
    text = lines(",".join([*body, name]), ",".join([*body.values(), ""]))
    answer = client_with_auth.post(url, data=text, headers=headers | {"Content-Type": CSV})
    assert (answer.status_code, answer.json[0][name]) == (201, str(user.pk))
    answer = client_with_auth.post(url, json=[body | {name: None}], headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    # In an update, an empty field is null.
    row = f"{client_with_auth.get(f'/api/v2/{resource}').json[0]['pk']},"
    answer = client_with_auth.post(
        url,
        data=lines(f"pk,{name}", row),
        headers=sign_in(make_user(role="admin")) | {"Content-Type": CSV},
    )
    assert (answer.status_code, answer.json[0][name]) == (200, None)


@pytest.mark.parametrize(("resource", "name"), [("stores", "owner_id"), ("heroes", "user_id")])
def test_an_owner_that_the_caller_may_not_name_has_its_line_and_column(
    client_with_auth, resource, name
):
    user, other = make_user(role="merchant"), make_user()
    place = dict.fromkeys(("name", "street", "zipcode", "city", "country"), "Brassel")
    body = {"stores": place | {"currency": "EUR"}, "heroes": {"nickname": "Ada"}}[resource]
    text = lines(
        ",".join([*body, name]),
        ",".join([*body.values(), str(user.pk)]),
        ",".join([*body.values(), str(other.pk)]).replace("Ada", "Bea"),
    )
    answer = client_with_auth.post(
        f"/api/v2/{resource}/batch", data=text, headers=sign_in(user) | {"Content-Type": CSV}
    )
    assert error(answer, 403) == {
        "pointer": f"#/1/{name}",
        "line": 3,
        "column": len(body) + 1,
        "code": "forbidden",
    }
    single = client_with_auth.post(
        f"/api/v2/{resource}", json=body | {name: str(other.pk)}, headers=sign_in(user)
    )
    assert error(single, 403)["pointer"] == f"#/{name}"


def test_other_media_types_and_charsets_are_415(send):
    for media_type in ("text/plain", "text/csv; charset=latin-1", "text/tab-separated-values"):
        assert send("ingredients", "name\na\n", media_type=media_type).status_code == 415
    answer = send("ingredients", "Salt\n", media_type="text/csv; header=absent")
    assert (answer.status_code, answer.headers["Accept"]) == (415, CSV)
    assert "header=present" in answer.json["detail"]
    for media_type in ("text/csv; charset=utf-8; header=present", "TEXT/CSV"):
        assert send("ingredients", "name\na\n", media_type=media_type).status_code == 201


def test_a_text_batch_is_one_idempotent_request(send):
    first, second = (
        send("ingredients", "name\na\n", query="", **{"Idempotency-Key": "x"}) for _ in range(2)
    )
    assert first.data == second.data
    assert second.headers["Idempotent-Replayed"] == "true"


# Rows that are sent back


def changes(model=AuditEntry):
    return db.session.scalar(select(func.count()).select_from(model))


def versions():
    return {
        table.name: sorted(db.session.execute(select(table.c.pk, table.c.version)).all())
        for table in db.Base.metadata.sorted_tables
        if "version" in table.c
    }


def assert_nothing_changes(client, send, resource):
    for media_type in (CSV, NDJSON):
        exported = client.get(f"/api/v2/{resource}?limit=500", headers={"Accept": media_type})
        before = changes(), versions()
        answer = send(resource, exported.data, media_type=media_type)
        assert answer.status_code == 200, answer.text
        db.session.expire_all()
        assert (changes(), versions()) == before
        again = client.get(f"/api/v2/{resource}?limit=500", headers={"Accept": media_type})
        assert again.data == exported.data


@pytest.mark.parametrize("resource", BATCHES)
def test_what_a_list_returns_can_be_sent_back_without_a_change(client, send, resource):
    make_row(resource)
    user = make_user(role="admin")
    make_hero(user_id=user.pk, role="mage")
    make_hero()
    salt = make_ingredient(description="", reference="salt-1")
    potion = make_potion(salt, make_ingredient(), description="x")
    store = make_store(owner_id=user.pk, phone="1", reference="s 1")
    make_product(store, potion_id=potion.pk, stock=3, description='a "b"\r\n,c')
    make_product(price="0.01")
    make_coupon(percent_off=10, per_user_limit=1)
    assert_nothing_changes(client, send, resource)


NASTY = st.text(
    st.one_of(
        st.sampled_from("\",;\r\n\t=+-@\\ '{}[]😀é\u2028\u00a0"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=20,
)
serial = count()


@settings(max_examples=15)
@given(name=NASTY, text=st.none() | NASTY, has_reference=st.booleans())
def test_any_text_can_be_sent_back_without_a_change(client, send, name, text, has_reference):
    def create(resource, **values):
        answer = client.post(f"/api/v2/{resource}", json=values)
        assert answer.status_code == 201, answer.text
        return answer.json["pk"]

    # Unique, and visible.
    name = f"{name}{next(serial)}"
    more = {"reference": name} if has_reference else {}
    salt = create("ingredients", name=name, description=text, **more)
    create("potions", name=name, description=text, ingredients=[salt], **more)
    place = dict.fromkeys(("name", "street", "zipcode", "city", "country"), name)
    store = create("stores", currency="EUR", phone=text, **place, **more)
    create("products", name=name, store_id=store, price="1", description=text, **more)
    create("heroes", nickname=name)
    create("users", email=f"user{next(serial)}@alchemist.example", full_name=name)
    create("coupons", code=name, init_count=3, **more)
    for resource in BATCHES:
        make_row(resource)
        assert_nothing_changes(client, send, resource)


def test_a_changed_row_is_found_by_its_key(client, send):
    hero = make_hero(nickname="Before")
    body = client.get("/api/v2/heroes", headers={"Accept": CSV}).data.replace(b"Before", b"After")
    answer = send("heroes", body)
    assert (answer.status_code, answer.json[0]["nickname"]) == (200, "After")
    assert answer.json[0]["pk"] == str(hero.pk)


def test_the_key_decides_before_the_reference(send):
    first, second = make_ingredient(reference="a"), make_ingredient(reference="b")
    answer = send("ingredients", lines("pk,reference,name", f"{first.pk},c,New"))
    assert (answer.json[0]["pk"], answer.json[0]["reference"]) == (str(first.pk), "c")
    answer = send("ingredients", lines("pk,reference", f"{first.pk},b"))
    assert error(answer, 409)["column"] == 2
    assert second.reference == "b"


def test_the_key_of_a_new_row_is_read_only(send):
    answer = send("ingredients", lines("pk,name", f"{uuid4()},New"), query="")
    assert error(answer, 422)["code"] == "read-only"


@pytest.mark.parametrize("resource", BATCHES)
def test_a_key_that_no_row_has_is_an_unknown_row(client, send, resource):
    row = make_row(resource)
    url = f"/api/v2/{resource}/{row.pk}"
    representation = client.get(url).json
    assert client.delete(url, headers={"If-Match": "*"}).status_code == 204
    body = json.dumps(representation)
    answer = send(resource, body, media_type=NDJSON)
    assert tuple(error(answer, 422).values()) == ("#/0/pk", 1, None, "unknown-reference")
    assert str(row.pk) in answer.json["detail"]


def test_a_key_that_no_row_has_is_unknown_beside_a_known_reference(send):
    make_ingredient(reference="a")
    answer = send("ingredients", lines("pk,reference", f"{uuid4()},a"))
    assert error(answer, 422)["code"] == "unknown-reference"
    answer = send("ingredients", lines("pk,name", "key,a"))
    assert error(answer, 422)["code"] == "unknown-reference"
    answer = send("ingredients", '{"pk": null, "name": "a"}', media_type=NDJSON)
    assert error(answer, 422)["code"] == "read-only"


def test_a_row_is_updated_once(send):
    row = make_ingredient(reference="a")
    answer = send("ingredients", lines("pk,reference", f"{row.pk},a", ",a"))
    location = {"pointer": "#/1/reference", "line": 3, "column": 2}
    assert error(answer, 422) == location | {"code": "duplicate"}


def test_a_read_only_column_that_has_changed_is_an_error(client, send):
    make_product()
    body = client.get("/api/v2/products", headers={"Accept": CSV}).data
    assert error(send("products", body.replace(b'"EUR"', b'"USD"')), 422)["code"] == "read-only"


def test_a_batch_leaves_an_admin(client_with_auth):
    admins = [make_user(role="admin") for _ in range(2)]
    headers = sign_in(admins[0])
    entries = [{"pk": str(admin.pk), "role": "customer"} for admin in admins]
    url = "/api/v2/users/batch?on_conflict=update"
    answer = client_with_auth.post(url, json=entries, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (409, "last-admin")
    kept = [{"pk": str(admins[0].pk), "role": "admin"}, entries[1]]
    assert client_with_auth.post(url, json=kept, headers=headers).status_code == 200
    db.session.expire_all()
    assert {each.role for each in db.session.scalars(select(User))} == {"admin", "customer"}


def test_the_tokens_of_a_changed_user_have_the_new_role_at_once(client_with_auth):
    admin, user = make_user(role="admin"), make_user(role="admin")
    headers = sign_in(user)
    assert client_with_auth.get("/api/v2/audit", headers=headers).status_code == 200
    entries = [{"pk": str(user.pk), "role": "customer"}]
    url = "/api/v2/users/batch?on_conflict=update"
    assert client_with_auth.post(url, json=entries, headers=sign_in(admin)).status_code == 200
    assert client_with_auth.get("/api/v2/audit", headers=headers).status_code == 403


def test_rows_of_others_cannot_be_updated_by_key(client_with_auth):
    hero = make_hero(user_id=make_user().pk)
    headers = sign_in(make_user()) | {"Content-Type": CSV}
    answer = client_with_auth.post(
        "/api/v2/heroes/batch?on_conflict=update",
        data=lines("pk,nickname", f"{hero.pk},Stolen"),
        headers=headers,
    )
    assert answer.status_code == 403
    assert answer.json["errors"][0]["line"] == 2
