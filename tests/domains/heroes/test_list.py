"""Lists of heroes: filters and sort keys."""

import pytest
from uuid_utils.compat import uuid7

from tests.answers import read_all_pages
from tests.factories import make_hero, make_user

URL = "/api/v2/heroes"


@pytest.fixture
def list_nicknames(client_with_auth):
    """Return a function that returns the nicknames of the heroes in a list."""

    def call(**query):
        response = client_with_auth.get(URL, query_string=query)
        assert response.status_code == 200, response.text
        return [hero["nickname"] for hero in response.json]

    return call


def test_the_role_filter_finds_heroes_with_that_role(list_nicknames):
    make_hero(nickname="Moss", role="mage")
    make_hero(role="tank")
    make_hero()
    assert list_nicknames(role="mage") == ["Moss"]


def test_the_user_filter_finds_heroes_of_that_user(list_nicknames, owner):
    make_hero(nickname="Moss", user_id=owner.pk)
    make_hero(user_id=make_user().pk)
    make_hero()
    assert list_nicknames(user_id=str(owner.pk)) == ["Moss"]
    assert list_nicknames(user_id=str(uuid7())) == []


@pytest.mark.parametrize("q", ["thistle", "THISTLE brother", "brother"])
def test_q_finds_words_of_the_nickname_in_any_order_and_case(list_nicknames, q):
    make_hero(nickname="Brother Thistle")
    make_hero(nickname="Mothistle Halfbrother")
    assert list_nicknames(q=q) == ["Brother Thistle"]


def test_filters_are_combined_with_and(list_nicknames, owner):
    make_hero(nickname="Brother Moss", role="mage", user_id=owner.pk)
    make_hero(nickname="Sister Moss", role="tank", user_id=owner.pk)
    make_hero(nickname="Father Moss", role="mage")
    assert list_nicknames(q="moss", role="mage", user_id=str(owner.pk)) == ["Brother Moss"]


@pytest.mark.parametrize(
    "query",
    [
        "role=king",
        "role=null",
        "user_id=x",
        "user_id=",
        "q=",
        "nickname=Moss",
        "role=mage&role=tank",
    ],
)
def test_an_invalid_filter_is_rejected(client_with_auth, query):
    assert client_with_auth.get(f"{URL}?{query}").status_code == 422


@pytest.mark.parametrize("sort", ["nickname", "-nickname", "created_at", "-created_at", "-pk"])
def test_every_page_of_a_sorted_list_can_be_followed(client_with_auth, sort):
    nicknames = sorted(make_hero(nickname=name, role="tank").nickname for name in "cabed")
    rows = read_all_pages(client_with_auth, f"{URL}?role=tank&limit=2&sort={sort}")
    listed = [hero["nickname"] for hero in rows]
    assert sorted(listed) == nicknames
    if "nickname" in sort:
        assert listed == (nicknames[::-1] if sort.startswith("-") else nicknames)


@pytest.mark.parametrize("sort", ["role", "user_id", "version"])
def test_an_undocumented_sort_key_is_rejected(client_with_auth, sort):
    assert client_with_auth.get(f"{URL}?sort={sort}").status_code == 422


def test_a_list_costs_one_statement(client_with_auth, statements):
    make_hero(user_id=make_user().pk)
    client_with_auth.get(URL)
    with statements() as executed:
        assert client_with_auth.get(URL).status_code == 200
    assert len(executed) == 1
