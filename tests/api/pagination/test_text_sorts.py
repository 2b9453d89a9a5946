"""Lists that are sorted by text: as people sort, each row once, with short cursors."""

import re

import pytest
from sqlalchemy import delete

from alchemist import database as db
from alchemist.database.text_keys import sort_key
from alchemist.domains.ingredients.models import Ingredient
from tests.factories import (
    make_ingredient,
    make_row,
    make_user,
)
from tests.properties import given, settings, st
from tests.resources import text_sorts

URL = "/api/v2/ingredients"
NEXT = re.compile(r'<[^>]*?(/api/[^>]*cursor=([^>&]*)[^>]*)>; rel="next"')
MAX_CURSOR_SIZE = 1000
EMOJI = "\U0001f36f"
# An e-mail address is no text of any characters.
SORTS = {name: sort for name, sort in text_sorts().items() if name != "users"}
NASTY = [
    *(
        "a",
        "A",
        "á",
        "Á",
        "a\u0301\u0302",
        "ab",
        "a b",
        "a\tb",
        "a\x01b",
        "a\x01\x01b",
        "B",
        "b\ufe0f",
    ),
    *('"' * 60, "\\" * 60, "'; --", "%", "_", "\x7f", "\u202ea", "ﬁ", "fi", "FI", "ß", "ss", "SS"),
    *("İ", "i", "\u0131", "I", "Ω", "Ω", "ω", "茶", "한국", "ﷺ" * 60, EMOJI * 60, EMOJI * 60 + "a"),
    *("\U0010ffff", "\ue000", "\ufffd", "z" * 64, "z" * 63 + "Z", "z" * 63 + "y"),
]
texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=127
)
alike = st.text(st.sampled_from("aAáß\u0301\x01 \U0001f36f"), min_size=1, max_size=4)


def walk(client, url):
    """Return the rows of all pages, after comparing each cursor with its maximum size."""
    rows, cursors = [], []
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.json
        rows += response.json
        match = NEXT.search(response.headers["Link"])
        cursors += [match[2]] if match else []
        url = match and match[1]
        assert len(cursors) < 1000
    assert all(len(cursor) <= MAX_CURSOR_SIZE for cursor in cursors)
    return rows


def names(rows, key="name"):
    return [row[key] for row in rows]


def test_people_find_names_where_they_look_for_them(client):
    expected = [
        "apple",
        "Banana",
        "eclair",
        "Éclair",
        "eclairs",
        "tea",
        "Tea",
        "téa",
        "tea time",
        "Zebra",
    ]
    for name in sorted(expected):
        make_ingredient(name=name)
    assert names(client.get(f"{URL}?sort=name").json) == expected
    assert names(client.get(f"{URL}?sort=-name").json) == expected[::-1]


@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_walk_over_nasty_names_visits_each_row_once_in_order(client, sign, limit):
    rows = [make_ingredient(name=name) for name in NASTY * 2]
    expected = sorted(rows, key=lambda row: (sort_key(row.name), row.pk), reverse=sign == "-")
    pks = [str(row.pk) for row in expected]
    assert names(walk(client, f"{URL}?sort={sign}name&limit={limit}"), "pk") == pks


@pytest.mark.parametrize("resource", SORTS)
def test_the_longest_names_have_short_cursors(client, resource):
    key, length = SORTS[resource]
    made = [
        str(make_row(resource, **{key: text}).pk)
        for number in range(3)
        for text in (EMOJI * (length - 1) + f"{number}", '"' * (length - 1) + f"{number}")
    ]
    for sign in ("", "-"):
        for other in ("", ",created_at", ",-created_at"):
            rows = walk(client, f"/api/v2/{resource}?sort={sign}{key}{other}&limit=1")
            assert sorted(names(rows, "pk")) == sorted(made)


def test_the_longest_emails_have_short_cursors(client):
    made = [
        make_user(email=f"{'ü' * 30}{n}@{'.'.join(['ä' * 30] * 3)}.example").email for n in range(4)
    ]
    rows = walk(client, "/api/v2/users?sort=email&limit=1")
    assert names(rows, "email") == made


def test_a_cursor_outlives_its_row(client):
    pks = [str(make_ingredient(name=EMOJI * 127).pk) for _ in range(3)]
    response = client.get(f"{URL}?sort=name&limit=1")
    client.delete(f"{URL}/{pks[0]}", headers={"If-Match": "*"})
    assert names(walk(client, NEXT.search(response.headers["Link"])[1]), "pk") == pks[1:]


@settings(max_examples=60)
@given(sample=st.lists(texts | alike, max_size=8), sign=st.sampled_from(["", "-"]))
def test_a_walk_over_any_names_visits_each_row_once_in_order(client, sample, sign):
    db.session.execute(delete(Ingredient))
    rows = [make_ingredient(name=name) for name in sample]
    expected = sorted(rows, key=lambda row: (sort_key(row.name), row.pk), reverse=sign == "-")
    pks = [str(row.pk) for row in expected]
    assert names(walk(client, f"{URL}?sort={sign}name&limit=2"), "pk") == pks
