"""What surrounds the API: the front door, Swagger UI's page and files, and the problem pages."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import jsonschema_rs
import pytest
from markupsafe import escape

from alchemist.errors import PROBLEM_TYPES

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PAGES = ["/api/docs", "/problems", *(f"/problems/{code}" for code in PROBLEM_TYPES)]
DOCUMENTS = ["/api/openapi.json", "/api/v2/openapi.json", "/api/v1/openapi.json"]
OWN = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
}


class Page(HTMLParser):
    """The addresses that a page names, and its attributes and elements that a policy forbids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.links: list[str] = []
        self.forbidden: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "script" or given.get("rel") == "stylesheet":
            self.assets.append(given.get("src") or given["href"])
        if tag == "a":
            self.links.append(given["href"])
        self.forbidden += [name for name in given if name.startswith("on") or name == "style"]
        self.forbidden += [tag] if tag in ("style", "base", "iframe", "form") else []


def page(client, path) -> Page:
    return Page(client.get(path, headers={"Accept": BROWSER}).text)


def test_the_front_door_leads_a_browser_to_the_documentation(client):
    answer = client.get("/", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.location) == (302, "/api/docs")
    assert set(answer.vary) == {"Accept", "Authorization"}


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/*"])
def test_the_front_door_answers_programs_with_links(client, accept):
    answer = client.get("/", headers={"Accept": accept} if accept else {})
    assert answer.mimetype == "application/json"
    assert answer.json["docs"] == "/api/docs"
    assert answer.json["v2"]["resources"] == [
        "/api/v2/ingredients",
        "/api/v2/potions",
        "/api/v2/users",
        "/api/v2/me",
        "/api/v2/heroes",
        "/api/v2/stores",
        "/api/v2/products",
        "/api/v2/coupons",
        "/api/v2/orders",
        "/api/v2/audit",
    ]
    assert set(answer.vary) == {"Accept", "Authorization"}


def test_every_link_of_the_front_door_leads_somewhere(client):
    text = json.dumps(client.get("/").json)
    links = re.findall(r'"(/[^"]*)"', text)
    assert len(links) > 8
    for link in links:
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2", "/api/v2/"])
def test_the_front_door_can_be_found_from_inside(client, path):
    assert client.get(path).json == client.get("/").json


@pytest.mark.parametrize("path", ["/", "/problems", "/problems/precondition-failed"])
def test_a_client_that_takes_neither_json_nor_html_is_told(client, path):
    answer = client.get(path, headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json["code"]) == (406, "not-acceptable")


@pytest.mark.parametrize(
    "path", ["/", "/api/docs", "/problems", "/problems/precondition-failed", *DOCUMENTS]
)
def test_nothing_can_be_written_here(client, path):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = client.open(path, method=method)
        assert (answer.status_code, answer.json["code"]) == (405, "method-not-allowed")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", ["/", "/problems/precondition-failed", "/api/docs", *DOCUMENTS])
def test_what_a_client_has_already_is_not_sent_again(client, path):
    first = client.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["ETag"]}'})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/api/docs", "/problems/precondition-failed", *DOCUMENTS])
def test_head_answers_as_get_does_without_the_body(client, path):
    got, head = client.get(path), client.head(path)
    assert head.data == b""
    for name in ("ETag", "Content-Length", "Content-Type", "Cache-Control"):
        assert head.headers[name] == got.headers[name]


def test_the_document_without_a_version_is_the_newest(client):
    assert client.get("/api/openapi.json").data == client.get("/api/v2/openapi.json").data


def test_a_version_that_does_not_exist_has_no_document(client):
    answer = client.get("/api/v3/openapi.json")
    assert (answer.status_code, answer.json["code"]) == (404, "not-found")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_confined_to_this_service(client, path):
    answer = client.get(path, headers={"Accept": BROWSER})
    assert answer.mimetype == "text/html"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert dict(directive.split(" ", 1) for directive in policy) == OWN
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    found = page(client, path)
    assert found.forbidden == []
    assert all(re.match(r"/[^/]", address) for address in found.assets + found.links)
    # Scripts stand in files: what is between their tags would not run.
    assert re.findall(r"<script[^>]*>(.+?)</script>", answer.text) == []


@pytest.mark.parametrize("path", ["/api/docs", "/problems"])
def test_the_files_of_a_page_may_be_kept_for_ever(client, path):
    assets = page(client, path).assets
    assert assets
    for asset in assets:
        answer = client.get(asset)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.mimetype == ("text/css" if asset.endswith(".css") else "text/javascript")
        known = {"If-None-Match": answer.headers["ETag"]}
        assert client.get(asset, headers=known).status_code == 304


@pytest.mark.parametrize(
    "name", ["index.css", "swagger-ui.js", "oauth2-redirect.html", "VERSION", "../served.py", "x"]
)
def test_no_other_file_is_served(client, name):
    place = page(client, "/api/docs").assets[0].rpartition("/")[0]
    for path in (f"{place}/{name}", f"/api/docs/{name}", f"/api/docs/0/{name}"):
        answer = client.get(path)
        assert (answer.status_code, answer.json["code"]) == (404, "not-found")


def test_an_asset_of_another_build_is_not_mixed_in(client):
    name = page(client, "/api/docs").assets[0].rpartition("/")[2]
    assert client.get(f"/api/docs/0123456789abcdef/{name}").status_code == 404


def test_the_interface_offers_both_versions(client):
    html = client.get("/api/docs").text
    assert html.index("/api/v2/openapi.json") < html.index("/api/v1/openapi.json")


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_a_problem_is_explained_to_people(client, code):
    html = client.get(f"/problems/{code}", headers={"Accept": BROWSER}).text
    problem = PROBLEM_TYPES[code]
    words = re.sub(r"<[^>]+>", "", html)
    for shown in (code, f"{problem.status} {problem.title}", "request_id"):
        assert shown in words
    assert "`" not in words
    for name in re.findall("`([^`]+)`", problem.description):
        assert f"<code>{escape(name)}</code>" in html


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_a_problem_is_explained_to_programs(client, code):
    found = client.get(f"/problems/{code}").json
    schema = client.get("/api/openapi.json").json
    reference = {"$ref": "#/components/schemas/Problem", "components": schema["components"]}
    jsonschema_rs.Draft202012Validator(reference).validate(found["example"])
    assert found["example"]["type"] == found["type"] == f"/problems/{code}"
    assert found["example"]["detail"] == PROBLEM_TYPES[code].example
    assert found["description"] == PROBLEM_TYPES[code].description


def test_all_problems_are_listed_with_their_pages(client):
    assert {problem["code"] for problem in client.get("/problems").json} == set(PROBLEM_TYPES)
    links = [unquote(link) for link in page(client, "/problems").links]
    assert set(links) >= {f"/problems/{code}" for code in PROBLEM_TYPES}


def test_the_type_of_a_refusal_is_a_page(client):
    refusal = client.get("/api/v2/potions?limit=0").json
    assert client.get(refusal["type"]).json["code"] == refusal["code"]


@pytest.mark.parametrize("code", ["unheard-of", "<script>", "..", "%00"])
def test_an_unknown_code_has_no_page(client, code):
    answer = client.get(f"/problems/{code}", headers={"Accept": BROWSER})
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
