"""Whatever goes wrong is answered as a problem (RFC 9457), and says no more than it should."""

import logging
import re

import pytest
from flask import abort
from sqlalchemy import NullPool, create_engine, text

from alchemist import errors
from alchemist.errors import PROBLEM_TYPES
from tests.factories import make_ingredient, make_potion

URL = "/api/v2/ingredients"
MISSING = f"{URL}/01935f2e-7c1a-7b3e-9d3c-0123456789ab"
JSON = {"Content-Type": "application/json"}

# What is sent, and the status that it meets.
WRONG = {
    "an unknown path": ("GET", "/nowhere", {}, 404),
    "an unknown path below the API": ("POST", "/api/v2/nowhere", {}, 404),
    "a missing row": ("GET", MISSING, {}, 404),
    "a malformed key": ("GET", f"{URL}/5", {}, 404),
    "a key without dashes": ("GET", MISSING.replace("-", ""), {}, 404),
    "NUL in a path": ("GET", f"{URL}/%00", {}, 404),
    "a method that is not there": ("PUT", URL, {}, 405),
    "a method that nobody knows": ("BREW", URL, {}, 405),
    "text wanted": ("GET", URL, {"headers": {"Accept": "text/html"}}, 406),
    "a broken URL": ("GET", f"{URL}?x=%ff", {}, 400),
    "a broken body": ("POST", URL, {"data": b"{", "headers": JSON}, 400),
    "a form": ("POST", URL, {"data": {"name": "a"}}, 415),
    "a large body": ("POST", URL, {"data": b" " * 1048577, "headers": JSON}, 413),
    "no name": ("POST", URL, {"json": {}}, 422),
    "an unknown parameter": ("GET", f"{URL}?x=1", {}, 422),
    "a cursor of nobody": ("GET", f"{URL}?cursor=x", {}, 400),
    "a write to a missing row": ("PATCH", MISSING, {"json": {}}, 404),
}
SLOW = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;
    CREATE TRIGGER wait BEFORE INSERT ON ingredients FOR EACH ROW EXECUTE FUNCTION wait();
"""
MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}


def assert_problem(answer, status):
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    told = answer.json
    assert told.keys() - {"errors", "current"} == MEMBERS
    problem = PROBLEM_TYPES[told["code"]]
    assert (told["type"], told["status"]) == (f"/problems/{problem.code}", status)
    assert (problem.status, problem.status_phrase) == (status, told["title"])
    assert told["detail"]
    assert told["request_id"] == answer.headers["X-Request-ID"]
    for entry in told.get("errors", ()):
        assert len(entry.keys() & {"pointer", "parameter", "header"}) <= 1
        assert PROBLEM_TYPES[entry["code"]]
        assert entry["detail"]


@pytest.mark.parametrize(("method", "path", "how", "status"), WRONG.values(), ids=WRONG)
def test_what_goes_wrong_is_a_problem(client, method, path, how, status):
    assert_problem(client.open(path, method=method, **how), status)


@pytest.mark.parametrize(("if_match", "status"), [(None, 428), ('"x"', 412), ("x", 400)])
def test_so_is_a_failed_precondition(client, if_match, status):
    one = f"{URL}/{make_ingredient().pk}"
    headers = {"If-Match": if_match} if if_match else {}
    assert_problem(client.delete(one, headers=headers), status)


def test_so_is_a_conflict(client):
    ingredient = make_ingredient()
    make_potion(ingredient)
    answer = client.delete(f"{URL}/{ingredient.pk}", headers={"If-Match": "*"})
    assert_problem(answer, 409)


def test_a_head_request_fails_without_a_body(client):
    answer = client.head(MISSING)
    assert (answer.status_code, answer.data) == (404, b"")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (URL, {"GET", "HEAD", "OPTIONS", "POST"}),
        (MISSING, {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        ("/livez", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_405_and_options_say_what_is_allowed(client, path, allowed):
    for answer in (client.put(path), client.options(path)):
        assert set(re.split(r",\s*", answer.headers["Allow"])) == allowed
    options = client.options(path)
    assert (options.status_code, options.data) == (204, b"")
    assert "Content-Type" not in options.headers
    assert "X-Request-ID" in options.headers


def test_options_on_an_unknown_path_is_404(client):
    assert_problem(client.options("/nowhere"), 404)


REFUSING = ["text/html", "application/xml", "application/json;q=0", "image/*", "*/*;q=0"]
TAKING = [
    "*/*",
    "application/*",
    "application/json",
    "application/json; charset=utf-8",
    "application/json;indent=2",
    "text/html, */*;q=0.1",
    "application/problem+json, application/json",
    "APPLICATION/JSON",
    "application/problem+json",
    "application/json;q=0, application/problem+json",
]


@pytest.mark.parametrize("accept", REFUSING)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_accept_header_that_excludes_json_is_406(client, accept, method):
    answer = client.open(URL, method=method, headers={"Accept": accept}, json={"name": "a"})
    assert_problem(answer, 406)
    assert "Accept" in answer.headers["Vary"].split(", ")
    assert client.get(f"{URL}?name=a").json == []


@pytest.mark.parametrize("accept", [*REFUSING, "application/problem+json"])
def test_a_delete_needs_no_accept_header_because_it_has_no_content(client, accept):
    url = f"{URL}/{make_ingredient().pk}"
    answer = client.delete(url, headers={"Accept": accept, "If-Match": "*"})
    assert (answer.status_code, answer.data) == (204, b"")


@pytest.mark.parametrize("accept", TAKING)
def test_an_accept_header_with_room_for_json_gets_json(client, accept):
    answer = client.get(URL, headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, "application/json")


def raise_a_secret():
    raise RuntimeError("the password is swordfish")


@pytest.fixture
def broken(make_committing_app, caplog):
    """The caller of an app with views that fail."""
    app = make_committing_app()
    app.add_url_rule("/defect", view_func=raise_a_secret)
    app.add_url_rule("/teapot", endpoint="teapot", view_func=lambda: abort(418))
    app.add_url_rule("/gateway", endpoint="gateway", view_func=lambda: abort(502))
    return app.test_client()


def test_a_defect_is_500_without_a_word_of_its_cause(broken, caplog):
    with caplog.at_level(logging.ERROR):
        answer = broken.get("/defect")
    assert_problem(answer, 500)
    assert "swordfish" not in answer.text
    assert "RuntimeError" not in answer.text
    assert "swordfish" in caplog.text


@pytest.mark.parametrize(("path", "status"), [("/teapot", 400), ("/gateway", 500)])
def test_a_status_without_a_code_is_the_first_of_its_kind(broken, path, status):
    assert_problem(broken.get(path), status)


def test_a_database_that_is_gone_is_503(make_committing_app, fresh_database):
    gone = fresh_database.set(host="/nowhere", query={})
    client = make_committing_app(database_url=gone).test_client()
    for answer in (client.get(URL), client.post(URL, json={"name": "a"}), client.get(MISSING)):
        assert_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
        assert "nowhere" not in answer.text


@pytest.mark.parametrize("engine", ["autocommit", "transaction"])
def test_an_exhausted_pool_is_503_soon(make_committing_app, engine):
    app = make_committing_app(threads=1, pool_timeout=0.05)
    client = app.test_client()
    place = client.post(URL, json={"name": "a"}).headers["Location"]
    with getattr(app.extensions["engines"], engine).connect():
        read, write = client.get(URL), client.delete(place, headers={"If-Match": "*"})
    exhausted, served = (read, write) if engine == "autocommit" else (write, read)
    assert_problem(exhausted, 503)
    assert "Retry-After" in exhausted.headers
    assert served.status_code in (200, 204)
    assert client.get(URL).status_code == 200


def test_failures_do_not_use_up_the_pool(make_committing_app):
    app = make_committing_app(threads=1, pool_timeout=0.05)
    client = app.test_client()
    for _ in range(3):
        client.post(URL, json={"name": 5})
        client.patch(MISSING, json={}, headers={"If-Match": "*"})
        client.get(MISSING)
        client.get(f"{URL}?cursor=x")
    assert client.post(URL, json={"name": "a"}).status_code == 201


def test_a_statement_that_takes_too_long_is_503(make_committing_app, fresh_database):
    with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
        connection.execute(text(SLOW))
    client = make_committing_app(statement_timeout=0.1).test_client()
    assert_problem(client.post(URL, json={"name": "a"}), 503)


@pytest.mark.parametrize("problem", PROBLEM_TYPES.values(), ids=PROBLEM_TYPES)
def test_a_documented_code_has_a_status_a_title_and_whole_sentences(problem):
    assert 400 <= problem.status <= 599
    assert problem.status_phrase
    assert problem.description.endswith(".")
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", problem.code)


def test_members_that_are_none_are_left_out():
    assert "errors" not in errors.problem_details(
        PROBLEM_TYPES["precondition-failed"], "x", "1", errors=None
    )
