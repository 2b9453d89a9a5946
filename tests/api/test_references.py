"""References of a body: exactly those that lead nowhere are told, in one statement."""

from uuid import UUID

import pytest
from sqlalchemy import NullPool, create_engine, text
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.api import reference_lookup, references
from alchemist.api.fields import List, NameReference, Nested, Pk, Schema, Text
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.potions.models import Potion
from alchemist.domains.stores.models import Store
from tests.factories import make_coupon, make_ingredient, make_potion, make_store
from tests.properties import given, settings, st

KNOWN = {
    "ingredients": [UUID(int=1), UUID(int=2), UUID(int=3)],
    "potions": [UUID(int=2)],
    "stores": [UUID(int=3), UUID(int=4)],
}
CODES = ["Welcome", "Straße"]
MOST = 4


class Line(Schema):
    ingredient_id = Pk(references=Ingredient)
    store_id = Pk(references=Store)
    note = Text(max=10)


class Repeating(Schema):
    """What refers to an ingredient and repeats its name."""

    pk = Pk(references=Ingredient, attribute="ingredient_id")
    name = Text(max=127, attribute="ingredient.name", metadata={"readOnly": True})


class Everything(Schema):
    """A body that refers in every way there is."""

    ingredient_id = Pk(references=Ingredient, allow_none=True)
    potion_id = Pk(references=Potion)
    store_id = Pk(references=Store)
    free_id = Pk()
    shown_id = Pk(references=Potion, dump_only=True)
    code = NameReference(column=Coupon.code_folded, min=1, max=64)
    keys = List(Pk(references=Ingredient), unique_by="pk", max=MOST)
    lines = List(Nested(Line), max=MOST)
    one = Nested(Repeating)


SCHEMA = Everything()
SINGLE = {
    "ingredient_id": "ingredients",
    "potion_id": "potions",
    "store_id": "stores",
}


@pytest.fixture
def rows(client):
    """The rows that are there; some keys are those of several kinds."""
    for kind, make in (
        ("ingredients", make_ingredient),
        ("potions", make_potion),
        ("stores", make_store),
    ):
        for pk in KNOWN[kind]:
            make(pk=pk, name=f"{kind} {pk.int}")
    for code in CODES:
        make_coupon(code=code)


keys = st.integers(1, 6).map(lambda number: str(UUID(int=number)))
capitals = st.sampled_from(["0190F2E7-7C1A-7B3E-9D3C-0123456789AB", str(UUID(int=10)).upper()])
nonsense = st.sampled_from(
    [None, 5, True, 1.5, "", "5", "none", "0" * 32, f"{{{UUID(int=9)}}}", [], {}]
)
key = keys | capitals | nonsense
code = st.sampled_from([*CODES, "WELCOME", " welcome ", "STRASSE", "other", "Other"]) | nonsense
line = st.fixed_dictionaries({}, optional={"ingredient_id": key, "store_id": key, "x": key})
many = st.lists(line | nonsense, max_size=MOST + 1)
bodies = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys([*SINGLE, "free_id", "shown_id", "unknown"], key)
    | {"code": code, "keys": st.lists(key, max_size=MOST + 1) | key, "lines": many | key},
)


def is_lost(value, kind):
    """Tell whether a value is a key, of canonical form, of a row of the kind that is not there."""
    if not isinstance(value, str) or len(value) != 36 or value.startswith("{"):
        return False
    return UUID(value) not in KNOWN[kind]


def lost(body):
    """Yield the places in a body that lead nowhere: what `complaints` should find."""
    for name, kind in SINGLE.items():
        if is_lost(body.get(name), kind):
            yield f"#/{name}"
    found = body.get("code")
    name = db.fold(found.strip()) if isinstance(found, str) else ""
    if name and name not in set(map(db.fold, CODES)):
        yield "#/code"
    for index, value in listed(body.get("keys")):
        if is_lost(value, "ingredients"):
            yield f"#/keys/{index}"
    for index, value in listed(body.get("lines")):
        for name in ("ingredient_id", "store_id"):
            if isinstance(value, dict) and is_lost(value.get(name), SINGLE[name]):
                yield f"#/lines/{index}/{name}"


def listed(members):
    return enumerate(members) if isinstance(members, list) and len(members) <= MOST else ()


def repeated(body):
    """Yield the places where a key stands in the unique list before."""
    seen = set()
    for index, value in listed(body.get("keys")):
        if isinstance(value, str):
            if value.lower() in seen:
                yield f"#/keys/{index}"
            seen.add(value.lower())


def errors_of(body):
    """Return what is wrong with the references of a body, and what its unique list has twice."""
    found = reference_lookup.look_up_reference_errors(
        references.find_visible_references(SCHEMA, body)
    )
    return [*found, *references.duplicate_errors(SCHEMA, body)]


def told(found, wanted):
    return sorted(entry["pointer"] for entry in found if entry["code"] == wanted)


@settings(max_examples=300)
@given(body=bodies)
def test_exactly_the_unknown_and_duplicate_references_are_reported(rows, body):
    found = errors_of(body)
    assert told(found, "unknown-reference") == sorted(lost(body))
    assert told(found, "duplicate") == sorted(repeated(body))
    assert {entry["code"] for entry in found} <= {"unknown-reference", "duplicate"}


def test_a_number_and_its_text_are_different_keys(rows):
    body = {"keys": [5, "5", None, "none", True, "true"]}
    assert errors_of(body) == []


@pytest.mark.parametrize("body", [None, 5, "x", [], [{}], {}, {"free_id": str(UUID(int=1))}])
def test_a_body_without_references_asks_nothing(rows, statements, body):
    with statements() as seen:
        assert errors_of(body) == []
    assert seen == []


def test_references_of_every_kind_are_one_statement(rows, statements):
    body = {
        "ingredient_id": str(UUID(int=1)),
        "potion_id": str(UUID(int=2)),
        "store_id": str(UUID(int=3)),
        "code": "welcome",
        "keys": [str(UUID(int=n)) for n in (1, 2, 3)],
        "lines": [{"ingredient_id": str(UUID(int=1)), "store_id": str(UUID(int=4))}] * MOST,
    }
    with statements() as seen:
        assert errors_of(body) == []
    assert len(seen) == 1


def test_a_product_and_the_look_for_its_store_and_potion_are_one_statement(client, statements):
    """The currency of the store is read before, to check the price."""
    store, potion = make_store(), make_potion()
    body = {"name": "a", "price": "1", "store_id": str(store.pk), "potion_id": str(potion.pk)}
    client.post("/api/v2/products", json=body)
    with statements() as seen:
        assert client.post("/api/v2/products", json=body | {"name": "b"}).status_code == 201
    assert len(seen) == 2


def test_a_detail_names_the_kind_and_the_key_in_lower_case(rows):
    pk = uuid7()
    body = {"store_id": str(pk).upper(), "code": "other"}
    details = {entry["detail"] for entry in errors_of(body)}
    assert details == {f"No store {pk}.", "No coupon other."}


@pytest.mark.parametrize("name", ["ingredients 1", " ingredients 1\t"])
def test_a_read_only_field_may_repeat_what_is_stored(rows, name):
    assert errors_of({"one": {"pk": str(UUID(int=1)), "name": name}}) == []


def test_a_read_only_field_that_says_otherwise_is_pointers_with(rows):
    body = {"one": {"pk": str(UUID(int=1)), "name": "ingredients 2"}}
    [entry] = errors_of(body)
    assert (entry["pointer"], entry["code"]) == ("#/one/name", "read-only")


def test_an_unknown_reference_has_no_error_for_its_read_only_fields(rows):
    body = {"one": {"pk": str(UUID(int=9)), "name": "x"}}
    assert told(errors_of(body), "unknown-reference") == ["#/one/pk"]
    assert len(errors_of(body)) == 1


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}])
def test_a_row_deleted_after_its_lookup_is_reported_with_its_pointer(
    make_committing_app, fresh_database, monkeypatch, headers
):
    client = make_committing_app().test_client()
    kept, gone = make_ingredient(), make_ingredient()
    db.session.commit()
    pk, look = gone.pk, reference_lookup.look_up_reference_errors

    def look_and_delete(*args):
        found = look(*args)
        with create_engine(fresh_database, poolclass=NullPool).begin() as other:
            other.execute(text("DELETE FROM ingredients WHERE pk = :pk"), {"pk": pk})
        return found

    monkeypatch.setattr(reference_lookup, "look_up_reference_errors", look_and_delete)
    # Where more is said of a row than its key, it is looked up first.
    lines = [{"pk": str(kept.pk), "name": kept.name}, {"pk": str(pk)}]
    body = {"name": "a", "ingredients": lines}
    answer = client.post("/api/v2/potions", json=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json["errors"] == [
        {
            "pointer": "#/ingredients/1/pk",
            "code": "unknown-reference",
            "detail": f"No ingredient {pk}.",
        }
    ]
    assert client.get("/api/v2/potions").json == []


def test_a_read_only_text_far_too_long_is_not_normalised(rows, monkeypatch):
    monkeypatch.setattr(reference_lookup, "normalize", lambda *_: pytest.fail("It is normalised."))
    body = {"one": {"pk": str(UUID(int=1)), "name": "a" + "\u0301" * 1000}}
    [error] = errors_of(body)
    assert (error["pointer"], error["code"]) == ("#/one/name", "read-only")
