"""Columns that Python derives: in each way of writing a row."""

import pytest
from sqlalchemy import insert, select, text
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.heroes.models import Hero
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.users.models import User
from tests.factories import make_hero, make_ingredient

NICKNAME, FOLDED, SORT = "Straße", "strasse", "strasse\x01\x01sTRASSE"


def stored(nickname=NICKNAME):
    columns = (Hero.nickname_folded, Hero.nickname_sort, Hero.search_words)
    return tuple(db.session.execute(select(*columns).filter_by(nickname=nickname)).one())


def words(*lexemes):
    return " ".join(f"'{lexeme}'" for lexeme in lexemes)


EXPECTED = (FOLDED, SORT, words("s", "st", "str", "strasse"))


def test_a_post_sets_them(client):
    assert client.post("/api/v2/heroes", json={"nickname": NICKNAME}).status_code == 201
    assert stored() == EXPECTED


def test_a_post_with_an_idempotency_key_sets_them(client):
    headers = {"Idempotency-Key": "one"}
    client.post("/api/v2/heroes", json={"nickname": NICKNAME}, headers=headers)
    assert stored() == EXPECTED


def test_a_patch_sets_them(client):
    url = f"/api/v2/heroes/{make_hero(nickname='Moss').pk}"
    client.patch(url, json={"nickname": NICKNAME}, headers={"If-Match": "*"})
    assert stored() == EXPECTED


def test_the_session_sets_them(client):
    make_hero(nickname=NICKNAME)
    assert stored() == EXPECTED


@pytest.mark.parametrize("is_list", [False, True])
def test_an_insert_of_sqlalchemy_sets_them(client, is_list):
    rows = [{"pk": uuid7(), "nickname": NICKNAME}, {"pk": uuid7(), "nickname": "Moss"}]
    if is_list:
        db.session.execute(insert(Hero), rows)
    else:
        db.session.execute(insert(Hero).values(rows[0]))
    assert stored() == EXPECTED


def test_a_row_that_other_programs_insert_is_found_by_its_key_only(client):
    db.session.execute(
        text("INSERT INTO heroes (pk, nickname) VALUES (:pk, 'Moss')"), {"pk": uuid7()}
    )
    assert stored("Moss") == ("", "", "")


def test_a_missing_source_is_an_error_of_its_constraint(client):
    with pytest.raises(Exception, match='column "email"'):
        db.insert(User(full_name="Somebody"))


def test_the_words_are_those_of_all_sources(client):
    row = make_ingredient(name="Sage", description="dry")
    db.update(row, {"name": "Rue"})
    db.session.expire(row)
    db.update(row, {"description": "wet"})
    query = select(Ingredient.search_words).filter_by(pk=row.pk)
    assert db.session.scalar(query) == words("r", "ru", "rue", "w", "we", "wet")


def test_an_equal_value_is_no_change(client):
    pk = make_hero(nickname=NICKNAME).pk
    db.session.expunge_all()
    row = db.session.get(Hero, pk)
    db.update(row, {"nickname": NICKNAME})
    assert row.version == 1


def test_the_audit_log_names_only_the_fields_of_the_api(client):
    client.post("/api/v2/heroes", json={"nickname": NICKNAME})
    hero = make_hero(nickname="Moss")
    db.update(hero, {"nickname": "Fern"})
    entries = db.session.scalars(select(AuditEntry.fields).filter_by(resource="heroes")).all()
    assert [
        [name for name in fields if "_" in name and name != "user_id"] for fields in entries
    ] == [[]] * 3
    assert "nickname" in entries[0]


def test_they_are_not_loaded_with_a_row(client):
    pk = make_hero().pk
    db.session.expunge_all()
    assert (
        not {"nickname_folded", "nickname_sort", "search_words"}
        & vars(db.session.get(Hero, pk)).keys()
    )
