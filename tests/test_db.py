"""What the database refuses: every constraint has a meaning, and breaking it is never a defect."""

from uuid import UUID

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist import db, violations
from alchemist.ingredients import service as ingredients
from alchemist.ingredients.models import Ingredient
from alchemist.problems import PROBLEMS
from tests.factories import make_ingredient, make_potion

# Since PostgreSQL 18 NOT NULL stands in the catalogue as well; it has no name in the models.
CATALOGUE = text("""
    SELECT conname FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION
    SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace AND indisunique
""")
URL = "/api/v2/ingredients"
PK = UUID("01935f2e-7c1a-7b3e-9d3c-0123456789ab")

# A statement that breaks each constraint; `:ingredient`, `:potion` and `:pk` are keys.
LINE = "INSERT INTO potion_ingredients (potion_id, position, ingredient_id, amount, unit) VALUES "
BREAKING = {
    "ingredients_pkey": "INSERT INTO ingredients (pk, name) VALUES (:ingredient, 'a')",
    "ingredients_name_check": "INSERT INTO ingredients (pk, name) VALUES (:pk, '')",
    "potions_pkey": "INSERT INTO potions (pk, name) VALUES (:potion, 'a')",
    "potions_name_check": "UPDATE potions SET name = ''",
    "potion_ingredients_pkey": f"{LINE} (:potion, 0, :other, NULL, NULL)",
    "potion_ingredients_potion_id_ingredient_id_key": (
        f"{LINE} (:potion, 7, :ingredient, NULL, NULL)"
    ),
    "potion_ingredients_potion_id_fkey": f"{LINE} (:pk, 0, :ingredient, NULL, NULL)",
    "potion_ingredients_ingredient_id_fkey": f"{LINE} (:potion, 7, :pk, NULL, NULL)",
    "potion_ingredients_amount_check": f"{LINE} (:potion, 7, :other, 0, NULL)",
    "potion_ingredients_unit_check": f"{LINE} (:potion, 7, :other, NULL, '')",
}


def catalogue(url):
    with create_engine(url, poolclass=NullPool).connect() as connection:
        names = set(connection.execute(CATALOGUE).scalars())
    return {name for name in names if not name.startswith("alembic_version")}


def test_the_map_knows_every_constraint_and_no_other(app, template):
    assert violations.rules().keys() == catalogue(template)


def test_every_rule_has_a_documented_code_a_pointer_and_a_sentence(app):
    for name, rule in violations.rules().items():
        assert PROBLEMS[rule.code].status in (409, 422), name
        assert rule.pointer.startswith("#"), name
        assert rule.detail.endswith("."), name


def test_every_constraint_of_the_catalogue_is_broken_here(template):
    own = ("ingredients", "potion")
    assert BREAKING.keys() == {name for name in catalogue(template) if name.startswith(own)}


@pytest.mark.parametrize(("name", "statement"), BREAKING.items(), ids=BREAKING)
def test_a_broken_constraint_is_its_refusal(client, monkeypatch, name, statement):
    """Through the whole of a POST, as if validation had let it pass."""
    ingredient, other = make_ingredient(), make_ingredient()
    keys = {"ingredient": ingredient.pk, "other": other.pk, "pk": PK}
    keys["potion"] = make_potion(ingredient).pk
    used = {key: value for key, value in keys.items() if f":{key}" in statement}

    def break_it(**_values):
        db.session.execute(text(statement), used)

    monkeypatch.setattr(ingredients, "create", break_it)
    answer = client.post(URL, json={"name": "Mandrake"})
    rule = violations.rules()[name]
    assert (answer.status_code, answer.json["code"]) == (PROBLEMS[rule.code].status, rule.code)
    assert answer.json["errors"] == [
        {"pointer": rule.pointer, "code": rule.code, "detail": rule.detail}
    ]


def test_a_delete_names_some_of_those_that_refer_to_the_row(client):
    ingredient = make_ingredient()
    potions = {str(make_potion(ingredient).pk) for _ in range(12)}
    answer = client.delete(f"{URL}/{ingredient.pk}", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    named = [entry["detail"] for entry in answer.json["errors"]]
    assert len(named) == 10
    assert all(any(pk in detail for pk in potions) for detail in named)
    assert client.get(f"{URL}/{ingredient.pk}").status_code == 200


def test_keys_are_in_creation_order(client):
    pks = [make_ingredient().pk for _ in range(100)]
    assert pks == sorted(pks)
    assert {pk.version for pk in pks} == {7}


def test_a_write_counts_versions_and_moves_the_time_of_change(client):
    row = make_ingredient()
    created, changed = row.created_at, row.updated_at
    db.change(row, {"name": "Sage"})
    assert (row.version, row.created_at) == (2, created)
    assert row.updated_at > changed


def test_a_query_is_built_once_for_each_set_of_arguments():
    one, two = ingredients.browse(name="a"), ingredients.browse(name="b")
    assert one.select is two.select
    assert (one.parameters, two.parameters) == ({"name": "a"}, {"name": "b"})
    assert ingredients.browse(q="a").select is not one.select
    assert ingredients.browse(name=None).select is ingredients.browse().select


def test_the_entity_of_a_query_is_its_model():
    assert ingredients.get(PK).entity is Ingredient


@pytest.mark.parametrize("engine", ["read_engine", "write_engine"])
def test_statements_and_locks_have_deadlines(committing, engine):
    app = committing(statement_timeout=2.5, lock_timeout=0.25)
    with app.extensions[engine].connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "application_name")
        ]
    assert shown == ["2500ms", "250ms", "alchemist"]


@pytest.mark.parametrize("prepared", [True, False])
def test_statements_are_prepared_unless_that_is_switched_off(committing, prepared):
    app = committing(threads=1, prepared_statements=prepared)
    client = app.test_client()
    for _ in range(10):
        client.get(URL)
    with app.extensions["read_engine"].connect() as connection:
        count = text("SELECT count(*) FROM pg_prepared_statements")
        assert (connection.execute(count).scalar_one() > 0) is prepared
