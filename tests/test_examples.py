"""The example apothecary: what its files may say, and that loading them repeats harmlessly."""

import re
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    delete,
    insert,
    select,
    update,
)
from uuid_utils.compat import uuid7

from alchemist import examples
from alchemist.audit.models import ACTIONS
from alchemist.heroes.models import ROLES as HERO_ROLES
from alchemist.heroes.models import Hero
from alchemist.ingredients.models import Ingredient
from alchemist.potions.models import Potion, PotionIngredient
from alchemist.users.models import User
from alchemist.users.permissions import OF_ROLE
from alchemist.users.schemas import EXAMPLE, OWNER, UserSchema

FIELDS = {
    "ingredients": {"pk", "name", "description"},
    "potions": {"pk", "name", "description", "ingredients"},
    "users": {"pk", "email", "full_name", "role"},
    "heroes": {"pk", "nickname", "role", "user_id"},
    "tokens": {"pk", "user_id", "label", "digest", "permissions", "expires_at"},
    "audit_log": {
        *("pk", "resource", "resource_pk", "action", "fields"),
        *("user_id", "token_id", "request_id"),
    },
}
COUNTS = {
    "ingredients": 80,
    "potions": 50,
    "users": 8,
    "heroes": 8,
    "tokens": 2,
    "audit_log": 3,
}
NONE = dict.fromkeys(COUNTS, 0)
TOTAL = 151
# What people call the rows of a kind by, where they have a name.
NAMES = {
    "ingredients": "name",
    "potions": "name",
    "users": "full_name",
    "heroes": "nickname",
    "tokens": "label",
}
LINES = [line for potion in examples.rows("potions") for line in potion["ingredients"]]

every_kind = pytest.mark.parametrize("kind", examples.KINDS)
every_named_kind = pytest.mark.parametrize("kind", NAMES)
every_described_kind = pytest.mark.parametrize("kind", ["ingredients", "potions"])


def is_stored_form(text: str) -> bool:
    return text == unicodedata.normalize("NFC", text.strip())


@pytest.mark.parametrize(("kind", "count"), COUNTS.items())
def test_the_shop_is_well_stocked(kind: str, count: int):
    assert len(examples.rows(kind)) == count


@every_kind
def test_every_row_has_the_fields_of_its_kind(kind: str):
    assert all(row.keys() == FIELDS[kind] for row in examples.rows(kind))


@every_kind
def test_keys_are_of_version_7_and_rise(kind: str):
    keys = [UUID(row["pk"]) for row in examples.rows(kind)]
    assert {(key.version, key.variant) for key in keys} == {(7, RFC_4122)}
    assert all(earlier < later for earlier, later in pairwise(keys))


@every_kind
def test_keys_are_in_their_canonical_form(kind: str):
    assert all(row["pk"] == str(UUID(row["pk"])) for row in examples.rows(kind))


@every_kind
def test_keys_are_older_than_the_rows_of_any_user(kind: str):
    seconds = [(UUID(row["pk"]).int >> 80) / 1000 for row in examples.rows(kind)]
    assert all(1_700_000_000 < moment < time.time() for moment in seconds)


@every_named_kind
def test_names_are_short_and_unique(kind: str):
    names = [row[NAMES[kind]] for row in examples.rows(kind)]
    assert all(1 <= len(name) <= 127 and is_stored_form(name) for name in names)
    assert len({name.casefold() for name in names}) == len(names)


@every_described_kind
def test_descriptions_fit_on_a_label(kind: str):
    texts = [row["description"] for row in examples.rows(kind) if row["description"] is not None]
    assert all(1 <= len(text) <= 400 and is_stored_form(text) for text in texts)
    assert len(set(texts)) == len(texts)


def test_some_ingredients_have_no_description():
    missing = [row for row in examples.rows("ingredients") if row["description"] is None]
    assert 1 <= len(missing) <= 8


@pytest.mark.parametrize("kind", ["ingredients", "potions", "users", "heroes"])
def test_names_go_beyond_ascii_and_letters(kind: str):
    names = " ".join(row[NAMES[kind]] for row in examples.rows(kind))
    assert not names.isascii()
    assert {"'", "-"} <= set(names)


@every_kind
def test_files_show_letters_and_not_their_escapes(kind: str):
    text = (resources.files(examples) / f"{kind}.json").read_text("utf-8")
    assert "\\u" not in text


def test_recipes_have_two_to_nine_different_ingredients():
    for potion in examples.rows("potions"):
        keys = [line["pk"] for line in potion["ingredients"]]
        assert 2 <= len(keys) <= 9, potion["name"]
        assert len(set(keys)) == len(keys), potion["name"]


def test_recipes_refer_to_ingredients_by_their_key_and_name():
    shelf = {row["pk"]: row["name"] for row in examples.rows("ingredients")}
    assert all(shelf.get(line["pk"]) == line["name"] for line in LINES)


def test_amounts_are_positive_and_have_at_most_three_decimals():
    amounts = [line["amount"] for line in LINES if line["amount"] is not None]
    assert all(re.fullmatch(r"\d{1,9}(\.\d{1,3})?", amount) for amount in amounts)
    assert all(float(amount) > 0 for amount in amounts)


def test_units_are_short():
    units = {line["unit"] for line in LINES} - {None}
    assert all(1 <= len(unit) <= 16 and is_stored_form(unit) for unit in units)


def test_some_lines_leave_amount_or_unit_open():
    open_ends = {(line["amount"] is None, line["unit"] is None) for line in LINES}
    assert open_ends == {(False, False), (False, True), (True, True)}


def test_all_but_a_handful_of_ingredients_are_used():
    used = {line["name"] for line in LINES}
    unused = {row["name"] for row in examples.rows("ingredients")} - used
    assert "Moonstone dust" in unused
    assert len(unused) <= 5


def test_users_have_addresses_that_lead_nowhere_and_are_stored_in_lower_case():
    for row in examples.rows("users"):
        assert re.fullmatch(r"[a-z]+@alchemist\.example", row["email"])
        assert UserSchema().load({"email": row["email"]}, partial=True) == {"email": row["email"]}
    assert len({row["email"] for row in examples.rows("users")}) == COUNTS["users"]


def test_there_are_users_of_every_role():
    assert {row["role"] for row in examples.rows("users")} == set(OF_ROLE)


def test_heroes_have_different_roles_and_some_none_and_some_nobody():
    heroes = examples.rows("heroes")
    assert {row["role"] for row in heroes} == {*HERO_ROLES, None}
    assert 1 <= len([row for row in heroes if row["user_id"] is None]) <= 4


@pytest.mark.parametrize("kind", ["heroes", "tokens", "audit_log"])
def test_users_that_others_refer_to_are_examples(kind: str):
    keys = {row["pk"] for row in examples.rows("users")}
    assert {row["user_id"] for row in examples.rows(kind)} <= {*keys, None}


def test_a_customer_has_no_heroes_and_can_be_deleted():
    [percival] = [row for row in examples.rows("users") if row["pk"] == EXAMPLE]
    assert percival["role"] == "customer"
    assert EXAMPLE not in {row["user_id"] for row in examples.rows("heroes")}
    assert EXAMPLE in {row["user_id"] for row in examples.rows("tokens")}


def test_tokens_have_digests_that_look_random():
    digests = [row["digest"] for row in examples.rows("tokens")]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert all(len(set(digest)) > 8 for digest in digests)
    assert len(set(digests)) == len(digests)


def test_tokens_permit_no_more_than_their_users_may():
    roles = {row["pk"]: row["role"] for row in examples.rows("users")}
    for row in examples.rows("tokens"):
        assert set(row["permissions"] or ()) <= OF_ROLE[roles[row["user_id"]]]
        assert datetime.fromisoformat(row["expires_at"]) > datetime(2090, 1, 1, tzinfo=UTC)


def test_the_audit_log_tells_of_examples_and_of_fields_that_they_have():
    for row in examples.rows("audit_log"):
        assert row["resource_pk"] in {other["pk"] for other in examples.rows(row["resource"])}
        assert set(row["fields"]) <= FIELDS[row["resource"]]
        assert row["action"] in ACTIONS


def test_a_key_is_found_by_its_name():
    key = examples.pk("ingredients", "Moonstone dust")
    [row] = [row for row in examples.rows("ingredients") if row["pk"] == key]
    assert row["name"] == "Moonstone dust"


def test_a_name_that_is_no_example_has_no_key():
    with pytest.raises(KeyError, match="Philosopher's stone"):
        examples.pk("ingredients", "Philosopher's stone")


@pytest.fixture
def url(fresh_database: URL) -> URL:
    return fresh_database


@pytest.fixture
def engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)


def load(url: URL) -> dict[str, int]:
    return examples.load(url, lambda _done, _total: None)


def shelf(connection: Connection) -> list[tuple[Any, ...]]:
    columns = (Ingredient.pk, Ingredient.name, Ingredient.description)
    return [tuple(row) for row in connection.execute(select(*columns).order_by(Ingredient.pk))]


def recipes(connection: Connection) -> list[tuple[Any, ...]]:
    line = (PotionIngredient.ingredient_id, PotionIngredient.amount, PotionIngredient.unit)
    columns = select(Potion.pk, Potion.name, Potion.description, *line)
    order = (Potion.pk, PotionIngredient.position)
    found = connection.execute(columns.join(PotionIngredient).order_by(*order))
    return [tuple(row) for row in found]


def test_what_is_loaded_is_what_the_files_say(url: URL, engine: Engine):
    assert load(url) == COUNTS
    with engine.connect() as connection:
        assert shelf(connection) == [
            (UUID(row["pk"]), row["name"], row["description"])
            for row in examples.rows("ingredients")
        ]
        assert recipes(connection) == [
            (
                UUID(potion["pk"]),
                potion["name"],
                potion["description"],
                UUID(line["pk"]),
                line["amount"] and Decimal(line["amount"]),
                line["unit"],
            )
            for potion in examples.rows("potions")
            for line in potion["ingredients"]
        ]


@pytest.mark.parametrize("kind", ["users", "heroes", "tokens", "audit_log"])
def test_people_are_stored_as_the_files_say(url: URL, engine: Engine, kind: str):
    load(url)
    table = examples.KINDS[kind].model.__table__
    with engine.connect() as connection:
        stored = connection.execute(select(table).order_by(table.c.pk)).mappings().all()
    found = [{name: row[name] for name in FIELDS[kind]} for row in stored]
    assert [stored_as_text(row) for row in found] == examples.rows(kind)


def stored_as_text(row: dict[str, Any]) -> dict[str, Any]:
    return {name: as_text(value) for name, value in row.items()}


def as_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, UUID) else value


def test_loading_again_adds_and_changes_nothing(url: URL, engine: Engine):
    load(url)
    with engine.connect() as connection:
        before = shelf(connection), recipes(connection)
    assert load(url) == NONE
    with engine.connect() as connection:
        assert (shelf(connection), recipes(connection)) == before


def test_progress_rises_to_the_number_of_all_rows(url: URL):
    seen: list[tuple[int, int]] = []
    examples.load(url, lambda done, total: seen.append((done, total)))
    done = [moment[0] for moment in seen]
    assert len(done) > 5
    assert done == sorted(set(done))
    assert {total for _, total in seen} == {TOTAL}
    assert seen[-1] == (TOTAL, TOTAL)


def test_loading_that_is_broken_off_leaves_nothing(url: URL, engine: Engine):
    def break_off(done: int, _total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examples.load(url, break_off)
    with engine.connect() as connection:
        assert (shelf(connection), recipes(connection)) == ([], [])


def test_a_changed_potion_keeps_its_change(url: URL, engine: Engine):
    load(url)
    key = UUID(examples.pk("potions", "Slow Tea"))
    with engine.begin() as connection:
        connection.execute(update(Potion).where(Potion.pk == key).values(name="Quick Tea"))
        last = (PotionIngredient.potion_id == key, PotionIngredient.position > 1)
        connection.execute(delete(PotionIngredient).where(*last))
        changed = recipes(connection)
    assert load(url) == NONE
    with engine.connect() as connection:
        assert recipes(connection) == changed


def test_a_deleted_potion_comes_back_with_its_recipe(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        whole = recipes(connection)
        connection.execute(delete(Potion).where(Potion.name == "Slow Tea"))
    assert load(url) == NONE | {"potions": 1}
    with engine.connect() as connection:
        assert recipes(connection) == whole


def test_a_potion_comes_back_together_with_its_deleted_ingredients(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        whole = recipes(connection)
        connection.execute(delete(Potion))
        connection.execute(delete(Ingredient).where(Ingredient.name == "Blackcurrant leaf"))
    assert load(url) == NONE | {"ingredients": 1, "potions": 50}
    with engine.connect() as connection:
        assert recipes(connection) == whole


def test_an_ingredient_of_a_user_with_an_example_name_is_left_alone(url: URL, engine: Engine):
    mine = (uuid7(), "Moonstone dust", "Mine.")
    with engine.begin() as connection:
        values = dict(zip(("pk", "name", "description"), mine, strict=True))
        connection.execute(insert(Ingredient).values(values))
    assert load(url) == COUNTS
    with engine.connect() as connection:
        assert mine in shelf(connection)


def test_a_user_with_the_address_of_an_example_stays_and_the_rest_is_loaded(
    url: URL, engine: Engine
):
    mine = uuid7()
    address = "bartholomew@alchemist.example"
    with engine.begin() as connection:
        user = {"pk": mine, "email": address, "full_name": "Mine"}
        connection.execute(insert(User).values(user))
    theirs = [row for row in examples.rows("heroes") if row["user_id"] == OWNER]
    assert load(url) == COUNTS | {"users": 7, "heroes": 8 - len(theirs)}
    assert load(url) == NONE
    with engine.connect() as connection:
        assert connection.scalar(select(User.pk).where(User.email == address)) == mine


def test_a_hero_with_the_nickname_of_an_example_stays(url: URL, engine: Engine):
    mine = uuid7()
    with engine.begin() as connection:
        connection.execute(insert(Hero).values(pk=mine, nickname="Old Jory"))
    assert load(url) == COUNTS | {"heroes": 7}
    with engine.connect() as connection:
        assert connection.scalar(select(Hero.pk).where(Hero.nickname == "Old Jory")) == mine


def test_a_deleted_user_comes_back_with_their_tokens(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        connection.execute(delete(User).where(User.pk == UUID(EXAMPLE)))
    assert load(url) == NONE | {"users": 1, "tokens": 2}


def test_two_loads_at_once_add_every_row_once(url: URL):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load, [url, url])
    added = {kind: first[kind] + second[kind] for kind in first}
    assert added == COUNTS
