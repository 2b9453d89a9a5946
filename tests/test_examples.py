"""The example apothecary: what its files may say, and that loading them repeats harmlessly."""

import re
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
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
from alchemist.ingredients.models import Ingredient
from alchemist.potions.models import Potion, PotionIngredient

FIELDS = {
    "ingredients": {"pk", "name", "description"},
    "potions": {"pk", "name", "description", "ingredients"},
}
LINES = [line for potion in examples.rows("potions") for line in potion["ingredients"]]

every_kind = pytest.mark.parametrize("kind", examples.KINDS)


def is_stored_form(text: str) -> bool:
    return text == unicodedata.normalize("NFC", text.strip())


@pytest.mark.parametrize(("kind", "count"), [("ingredients", 80), ("potions", 50)])
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


@every_kind
def test_names_are_short_and_unique(kind: str):
    names = [row["name"] for row in examples.rows(kind)]
    assert all(1 <= len(name) <= 127 and is_stored_form(name) for name in names)
    assert len({name.casefold() for name in names}) == len(names)


@every_kind
def test_descriptions_fit_on_a_label(kind: str):
    texts = [row["description"] for row in examples.rows(kind) if row["description"] is not None]
    assert all(1 <= len(text) <= 400 and is_stored_form(text) for text in texts)
    assert len(set(texts)) == len(texts)


def test_some_ingredients_have_no_description():
    missing = [row for row in examples.rows("ingredients") if row["description"] is None]
    assert 1 <= len(missing) <= 8


@every_kind
def test_names_go_beyond_ascii_and_letters(kind: str):
    names = " ".join(row["name"] for row in examples.rows(kind))
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
    assert load(url) == {"ingredients": 80, "potions": 50}
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


def test_loading_again_adds_and_changes_nothing(url: URL, engine: Engine):
    load(url)
    with engine.connect() as connection:
        before = shelf(connection), recipes(connection)
    assert load(url) == {"ingredients": 0, "potions": 0}
    with engine.connect() as connection:
        assert (shelf(connection), recipes(connection)) == before


def test_progress_rises_to_the_number_of_all_rows(url: URL):
    seen: list[tuple[int, int]] = []
    examples.load(url, lambda done, total: seen.append((done, total)))
    done = [moment[0] for moment in seen]
    assert len(done) > 5
    assert done == sorted(set(done))
    assert {total for _, total in seen} == {130}
    assert seen[-1] == (130, 130)


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
    assert load(url) == {"ingredients": 0, "potions": 0}
    with engine.connect() as connection:
        assert recipes(connection) == changed


def test_a_deleted_potion_comes_back_with_its_recipe(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        whole = recipes(connection)
        connection.execute(delete(Potion).where(Potion.name == "Slow Tea"))
    assert load(url) == {"ingredients": 0, "potions": 1}
    with engine.connect() as connection:
        assert recipes(connection) == whole


def test_a_potion_comes_back_together_with_its_deleted_ingredients(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        whole = recipes(connection)
        connection.execute(delete(Potion))
        connection.execute(delete(Ingredient).where(Ingredient.name == "Blackcurrant leaf"))
    assert load(url) == {"ingredients": 1, "potions": 50}
    with engine.connect() as connection:
        assert recipes(connection) == whole


def test_an_ingredient_of_a_user_with_an_example_name_is_left_alone(url: URL, engine: Engine):
    mine = (uuid7(), "Moonstone dust", "Mine.")
    with engine.begin() as connection:
        values = dict(zip(("pk", "name", "description"), mine, strict=True))
        connection.execute(insert(Ingredient).values(values))
    assert load(url) == {"ingredients": 80, "potions": 50}
    with engine.connect() as connection:
        assert mine in shelf(connection)


def test_two_loads_at_once_add_every_row_once(url: URL):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load, [url, url])
    added = {kind: first[kind] + second[kind] for kind in first}
    assert added == {"ingredients": 80, "potions": 50}
