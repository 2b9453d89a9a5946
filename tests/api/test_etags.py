"""Entity tags, and the order in which a request that carries one is checked."""

import pytest
from uuid_utils.compat import uuid7

from tests.factories import make_ingredient, make_potion

URL = "/api/v2/ingredients"
POTIONS = "/api/v2/potions"


@pytest.fixture
def one(client):
    return f"{URL}/{make_ingredient(name='Mandrake').pk}"


@pytest.fixture
def etag(client, one):
    return client.get(one).headers["ETag"]


def test_an_etag_is_strong(etag):
    assert etag.startswith('"')
    assert etag.endswith('"')


def test_one_representation_has_one_etag(client, one, etag):
    assert client.get(one).headers["ETag"] == etag
    assert client.patch(one, json={}, headers={"If-Match": etag}).headers["ETag"] == etag


def test_two_rows_have_two_etags(client, etag):
    assert client.get(f"{URL}/{make_ingredient(name='Mandrake').pk}").headers["ETag"] != etag


def test_create_answers_the_etag_that_get_answers(client):
    made = client.post(URL, json={"name": "Mandrake"})
    assert client.get(made.location).headers["ETag"] == made.headers["ETag"]


def test_an_etag_changes_with_the_row(client, one, etag):
    changed = client.patch(one, json={"name": "Sage"}, headers={"If-Match": etag})
    assert changed.headers["ETag"] != etag
    assert client.get(one).headers["ETag"] == changed.headers["ETag"]


def test_an_etag_changes_with_the_name_of_an_embedded_row(client):
    ingredient = make_ingredient(name="Mandrake")
    potion = f"{POTIONS}/{make_potion(ingredient).pk}"
    before = client.get(potion).headers["ETag"]
    client.patch(f"{URL}/{ingredient.pk}", json={"name": "Sage"}, headers={"If-Match": "*"})
    after = client.get(potion)
    assert after.json["ingredients"][0]["name"] == "Sage"
    assert after.headers["ETag"] != before
    stale = client.patch(potion, json={"name": "New"}, headers={"If-Match": before})
    assert stale.status_code == 412


@pytest.mark.parametrize(
    "form", ["{}", "W/{}", '"other", {}', '{}, "other"', '"a","b" , W/{} ', "*", '"a", , {}']
)
def test_a_client_that_has_the_row_gets_304_with_the_etag_and_no_body(client, one, etag, form):
    answer = client.get(one, headers={"If-None-Match": form.format(etag)})
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == etag
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("form", ['"other"', 'W/"other"', "{bare}", "nonsense", "", '"', "w/{}"])
def test_any_other_if_none_match_gets_the_row(client, one, etag, form):
    given = form.format(etag, bare=etag.strip('"'))
    answer = client.get(one, headers={"If-None-Match": given})
    assert (answer.status_code, answer.json["name"]) == (200, "Mandrake")


def test_if_none_match_finds_no_row_that_is_not_there(client):
    assert client.get(f"{URL}/{uuid7()}", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize("form", ["{}", '"other", {}', '{},"other"', "*", " {} ", '"a", , {}'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_if_match_names_the_row_among_others_or_any_row(client, one, etag, form, method):
    how = {"json": {"name": "Sage"}} if method == "PATCH" else {}
    answer = client.open(one, method=method, headers={"If-Match": form.format(etag)}, **how)
    assert answer.status_code in (200, 204)


@pytest.mark.parametrize("form", ['"other"', 'W/"other"', '""'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_is_412_with_the_row_as_it_is(client, one, etag, form, method):
    how = {"json": {"name": "Sage"}} if method == "PATCH" else {}
    answer = client.open(one, method=method, headers={"If-Match": form.format(etag)}, **how)
    assert (answer.status_code, answer.json["code"]) == (412, "precondition-failed")
    assert answer.json["current"] == client.get(one).json
    assert answer.headers["ETag"] == etag


@pytest.mark.parametrize("form", ["W/{}", '"a", W/{}'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_weak_etag_is_412_with_a_separate_code(client, one, etag, form, method):
    options = {"json": {"name": "Sage"}} if method == "PATCH" else {}
    headers = {"If-Match": form.format(etag)}
    answer = client.open(one, method=method, headers=headers, **options)
    assert (answer.status_code, answer.json["code"]) == (412, "weak-etag")
    assert "weak" in answer.json["detail"]
    assert answer.json["current"] == client.get(one).json
    assert answer.headers["ETag"] == etag


@pytest.mark.parametrize("given", ["", "nonsense", '"half', "*, *", "{bare}", '"a" "b"', "w/{}"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_malformed_if_match_is_400(client, one, etag, given, method):
    header = given.format(etag, bare=etag.strip('"'))
    answer = client.open(one, method=method, headers={"If-Match": header}, json={})
    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")
    assert answer.json["errors"][0]["header"] == "If-Match"


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_list_that_is_almost_empty_is_read_without_trying_every_way(client, one, method):
    """With a search that goes back this does not end."""
    almost = " , " * 2000 + "x"
    headers = {"If-Match": almost, "If-None-Match": almost}
    how = {"json": {}} if method == "PATCH" else {}
    assert client.open(one, method=method, headers=headers, **how).status_code in (200, 400)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_without_if_match_it_is_428(client, one, method):
    answer = client.open(one, method=method, json={"name": "Sage"})
    assert (answer.status_code, answer.json["code"]) == (428, "precondition-required")
    assert client.get(one).json["name"] == "Mandrake"


TEXT, BROKEN, WRONG = ("text/plain", b"x"), ("application/json", b"{"), ("application/json", b"5")
STALE, CURRENT = '"precondition-failed"', "*"


@pytest.mark.parametrize(
    ("there", "if_match", "body", "status"),
    [
        (False, None, TEXT, 404),
        (False, STALE, BROKEN, 404),
        (False, CURRENT, WRONG, 404),
        (True, None, TEXT, 428),
        (True, None, WRONG, 428),
        (True, STALE, TEXT, 412),
        (True, STALE, BROKEN, 412),
        (True, STALE, WRONG, 412),
        (True, CURRENT, TEXT, 415),
        (True, CURRENT, BROKEN, 400),
        (True, CURRENT, WRONG, 422),
    ],
)
def test_checks_have_one_order(client, there, if_match, body, status):
    pk = make_ingredient().pk if there else uuid7()
    headers = {} if if_match is None else {"If-Match": if_match}
    media_type, data = body
    answer = client.patch(f"{URL}/{pk}", data=data, content_type=media_type, headers=headers)
    assert answer.status_code == status


def test_a_missing_row_is_404_before_its_query_is_read(client):
    answer = client.delete(f"{URL}/{uuid7()}?x=1", headers={"If-Match": "*"})
    assert answer.status_code == 404


def test_a_stale_etag_is_found_before_a_mistaken_query(client, one):
    answer = client.delete(f"{one}?x=1", headers={"If-Match": STALE})
    assert answer.status_code == 412


@pytest.mark.parametrize("path", ["/api/v2/ingredients", "/api/v2/ingredients/{}", "/livez"])
def test_head_is_get_without_the_body(client, path):
    url = path.format(make_ingredient().pk)
    head, get = client.head(url), client.get(url)
    assert (head.status_code, head.data) == (get.status_code, b"")
    own = {"X-Request-ID", "Date"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in get.headers.items() if k not in own
    }


def test_head_may_be_conditional(client, one, etag):
    answer = client.head(one, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize("changes", [{}, {"name": "Mandrake"}, {"name": " Mandrake "}])
def test_a_patch_that_changes_nothing_keeps_etag_and_time(client, one, changes):
    before = client.get(one)
    answer = client.patch(one, json=changes, headers={"If-Match": before.headers["ETag"]})
    assert (answer.status_code, answer.json) == (200, before.json)
    assert answer.headers["ETag"] == before.headers["ETag"]


def test_a_client_may_send_back_what_it_got(client, one):
    before = client.get(one)
    answer = client.patch(one, json=before.json, headers={"If-Match": before.headers["ETag"]})
    assert (answer.status_code, answer.headers["ETag"]) == (200, before.headers["ETag"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pk", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"),
        ("created_at", "2026-11-20T07:15:00.123456+00:00"),
        ("updated_at", None),
        ("created_at", 5),
    ],
)
def test_a_changed_read_only_field_is_refused_with_its_pointer(client, one, name, value):
    answer = client.patch(one, json=client.get(one).json | {name: value}, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json["code"]) == (422, "read-only")
    assert [entry["pointer"] for entry in answer.json["errors"]] == [f"#/{name}"]


def test_null_clears_and_absence_keeps(client):
    row = make_ingredient(name="Mandrake", description="Screams.")
    one = f"{URL}/{row.pk}"
    kept = client.patch(one, json={"name": "Root"}, headers={"If-Match": "*"}).json
    assert (kept["name"], kept["description"]) == ("Root", "Screams.")
    cleared = client.patch(one, json={"description": None}, headers={"If-Match": "*"}).json
    assert (cleared["name"], cleared["description"]) == ("Root", None)
