"""The verbs on rows, queries built once, and the connections that they use."""

from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from alchemist import database as db
from alchemist.database import queries
from alchemist.domains.ingredients import service as ingredients
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.potions.models import PotionIngredient
from tests.factories import make_ingredient, make_potion

URL = "/api/v2/ingredients"
PK = UUID("01935f2e-7c1a-7b3e-9d3c-0123456789ab")


def test_keys_are_in_creation_order(client):
    pks = [make_ingredient().pk for _ in range(100)]
    assert pks == sorted(pks)
    assert {pk.version for pk in pks} == {7}


def test_a_write_counts_versions_and_moves_the_time_of_change(client):
    row = make_ingredient()
    created, changed = row.created_at, row.updated_at
    db.update(row, {"name": "Sage"})
    assert (row.version, row.created_at) == (2, created)
    assert row.updated_at > changed


def test_a_query_is_built_once_for_each_set_of_arguments():
    one, two = ingredients.list_query(name="a"), ingredients.list_query(name="b")
    assert one.select is two.select
    assert (one.parameters, two.parameters) == ({"name": "a"}, {"name": "b"})
    assert ingredients.list_query(q="a").select is not one.select
    assert ingredients.list_query(name=None).select is ingredients.list_query().select


def test_a_select_has_a_condition_for_each_value_that_is_not_none(client):
    sage = make_ingredient(name="Sage", description="Dug at dusk.")
    make_ingredient(name="Sage", description="Dried.")
    make_ingredient(name="Salt", description="Dug at dusk.")

    def names(**values):
        return [row.name for row in db.session.scalars(db.select_where(Ingredient, **values))]

    assert names(name="Sage", reference=None) == ["Sage", "Sage"]
    assert names(name="Sage", q="dusk") == ["Sage"]
    assert names(pk=sage.pk, name="Salt") == []
    assert len(names(q=None)) == 3


def test_children_that_are_replaced_and_columns_that_change_are_one_version(client):
    first, second = make_ingredient(), make_ingredient()
    potion = make_potion(first)
    lines = [{"ingredient_id": second.pk}]
    db.update_with_children(potion, {"name": "Tea", "ingredients": lines})
    assert (potion.name, potion.version) == ("Tea", 2)
    children = select(PotionIngredient.ingredient_id).where(PotionIngredient.potion_id == potion.pk)
    assert db.session.scalars(children).all() == [second.pk]


def distinct_on_name(query):
    """Add DISTINCT ON, as SQLAlchemy 2.1 does it, or as 2.0 does."""
    if extension := getattr(postgresql, "distinct_on", None):
        return query.ext(extension(Ingredient.name))
    return query.distinct(Ingredient.name)


@pytest.mark.parametrize(
    "clause",
    [
        lambda query: query.distinct(),
        distinct_on_name,
        lambda query: query.group_by(Ingredient.pk),
        lambda query: query.group_by(Ingredient.pk).having(func.count() > 1),
        lambda query: query.order_by(Ingredient.name),
        lambda query: query.limit(1),
        lambda query: query.offset(1),
    ],
    ids=["DISTINCT", "DISTINCT ON", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET"],
)
def test_a_clause_that_a_page_would_drop_is_refused_at_the_start(monkeypatch, clause):
    monkeypatch.setattr(queries, "_checks", [])

    @db.cached_query
    def list_query(*, name: str | None = None):
        query = select(Ingredient)
        return query if name is None else clause(query)

    with pytest.raises(TypeError, match="A query of rows has no"):
        db.check_queries()
    with pytest.raises(TypeError, match="A query of rows has no"):
        list_query(name="Sage")


def test_a_default_that_needs_the_statement_is_refused_at_import():
    with pytest.raises(TypeError, match="use server_default"):

        class Broken(db.Base):
            __tablename__ = "broken"

            pk: Mapped[int] = mapped_column(primary_key=True, default=func.random())

    # Other tests compare the tables of the models with those of the migrations.
    db.Base.metadata.remove(db.Base.metadata.tables["broken"])


def test_the_session_is_closed_to_a_single_statement_operation(client):
    with (
        db.use_commit_mode(db.CommitMode.AUTOCOMMIT),
        pytest.raises(RuntimeError, match="declared AUTOCOMMIT"),
    ):
        make_ingredient()


def test_the_entity_of_a_query_is_its_model():
    assert ingredients.by_pk(PK).model is Ingredient


@pytest.mark.parametrize("engine", ["autocommit", "transaction"])
def test_statements_and_locks_have_deadlines(make_committing_app, engine):
    app = make_committing_app(statement_timeout=2.5, lock_timeout=0.25)
    with getattr(app.extensions["engines"], engine).connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "application_name")
        ]
    assert shown == ["2500ms", "250ms", "alchemist"]


@pytest.mark.parametrize("prepared", [True, False])
def test_statements_are_prepared_unless_that_is_switched_off(make_committing_app, prepared):
    app = make_committing_app(threads=1, prepared_statements=prepared)
    client = app.test_client()
    for _ in range(10):
        client.get(URL)
    with app.extensions["engines"].autocommit.connect() as connection:
        count = text("SELECT count(*) FROM pg_prepared_statements")
        assert (connection.execute(count).scalar_one() > 0) is prepared
