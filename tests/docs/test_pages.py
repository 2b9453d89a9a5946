"""The index, the OpenAPI documents as files, and the HTML pages with their assets."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import jsonschema_rs
import pytest
from markupsafe import escape

from alchemist.errors import PROBLEM_TYPES

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGES = [
    "/api/docs",
    "/api/docs/clients",
    "/problems",
    *(f"/problems/{code}" for code in PROBLEM_TYPES),
]
DOCUMENTS = ["/api/openapi.json", "/api/v2/openapi.json", "/api/v1/openapi.json"]
CONTENT_SECURITY_POLICY = {
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
    """The URLs in a page, and what in it the Content-Security-Policy forbids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.links: list[str] = []
        self.forbidden: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "script" or attributes.get("rel") == "stylesheet":
            self.assets.append(attributes.get("src") or attributes["href"])
        if tag == "a":
            self.links.append(attributes["href"])
        self.forbidden += [n for n in attributes if n.startswith("on") or n == "style"]
        self.forbidden += [tag] if tag in ("style", "base", "iframe", "form") else []


def get_page(client, path) -> Page:
    return Page(client.get(path, headers=BROWSER).text)


def test_the_index_redirects_a_browser_to_the_documentation(client):
    response = client.get("/", headers=BROWSER)
    assert (response.status_code, response.location) == (302, "/api/docs")
    assert set(response.vary) == {"Accept", "Authorization"}


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/*"])
def test_the_index_sends_links_to_programs(client, accept):
    response = client.get("/", headers={"Accept": accept} if accept else {})
    assert response.mimetype == "application/json"
    assert response.json["docs"] == "/api/docs"
    assert response.json["v2"]["resources"] == [
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
        "/api/v2/changes",
    ], "Add a new resource to this list."
    assert set(response.vary) == {"Accept", "Authorization"}


def test_every_link_of_the_index_works(client):
    text = json.dumps(client.get("/").json)
    links = re.findall(r'"(/[^"]*)"', text)
    assert len(links) > 8
    for link in links:
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2", "/api/v2/"])
def test_the_index_has_other_paths_too(client, path):
    assert client.get(path).json == client.get("/").json


@pytest.mark.parametrize("path", ["/", "/problems", "/problems/precondition-failed"])
def test_a_client_that_accepts_neither_json_nor_html_gets_a_406(client, path):
    response = client.get(path, headers={"Accept": "image/png"})
    assert (response.status_code, response.json["code"]) == (406, "not-acceptable")
    assert "Accept" in response.headers["Vary"].split(", ")


@pytest.mark.parametrize(
    "path", ["/", "/api/docs", "/problems", "/problems/precondition-failed", *DOCUMENTS]
)
def test_documentation_is_read_only(client, path):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        response = client.open(path, method=method)
        assert (response.status_code, response.json["code"]) == (405, "method-not-allowed")
        assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", ["/", "/problems/precondition-failed", "/api/docs", *DOCUMENTS])
def test_an_unchanged_response_is_a_304(client, path):
    response = client.get(path)
    etag = response.headers["ETag"]
    assert response.headers["Cache-Control"] == "no-cache"
    not_modified = client.get(path, headers={"If-None-Match": f'"other", W/{etag}'})
    assert (not_modified.status_code, not_modified.data) == (304, b"")
    assert not_modified.headers["ETag"] == etag
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/api/docs", "/problems/precondition-failed", *DOCUMENTS])
def test_head_has_the_headers_of_get_and_no_body(client, path):
    get, head = client.get(path), client.head(path)
    assert head.data == b""
    for name in ("ETag", "Content-Length", "Content-Type", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


def test_the_document_without_a_version_is_that_of_version_2(client):
    assert client.get("/api/openapi.json").data == client.get("/api/v2/openapi.json").data


def test_an_unknown_version_has_no_document(client):
    response = client.get("/api/v3/openapi.json")
    assert (response.status_code, response.json["code"]) == (404, "not-found")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_only_load_from_this_service(client, path):
    response = client.get(path, headers=BROWSER)
    assert response.mimetype == "text/html"
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert dict(directive.split(" ", 1) for directive in policy) == CONTENT_SECURITY_POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    page = Page(response.text)
    assert page.forbidden == []
    assert all(re.match(r"/[^/]", url) for url in page.assets + page.links)
    # The policy blocks inline scripts.
    assert re.findall(r"<script[^>]*>(.+?)</script>", response.text) == []


@pytest.mark.parametrize("path", ["/api/docs", "/problems"])
def test_the_assets_of_a_page_can_be_cached_forever(client, path):
    assets = get_page(client, path).assets
    assert assets
    for asset in assets:
        response = client.get(asset)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.mimetype == ("text/css" if asset.endswith(".css") else "text/javascript")
        if_none_match = {"If-None-Match": response.headers["ETag"]}
        assert client.get(asset, headers=if_none_match).status_code == 304


@pytest.mark.parametrize(
    "name", ["index.css", "swagger-ui.js", "oauth2-redirect.html", "VERSION", "../served.py", "x"]
)
def test_no_other_file_is_served(client, name):
    directory = get_page(client, "/api/docs").assets[0].rpartition("/")[0]
    for path in (f"{directory}/{name}", f"/api/docs/{name}", f"/api/docs/0/{name}"):
        response = client.get(path)
        assert (response.status_code, response.json["code"]) == (404, "not-found")


def test_an_asset_of_another_release_is_not_found(client):
    name = get_page(client, "/api/docs").assets[0].rpartition("/")[2]
    assert client.get(f"/api/docs/0123456789abcdef/{name}").status_code == 404


def test_swagger_ui_offers_both_versions(client):
    html = client.get("/api/docs").text
    assert html.index("/api/v2/openapi.json") < html.index("/api/v1/openapi.json")


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_a_problem_has_a_page(client, code):
    html = client.get(f"/problems/{code}", headers=BROWSER).text
    problem = PROBLEM_TYPES[code]
    text = re.sub(r"<[^>]+>", "", html)
    for expected in (code, f"{problem.status} {problem.status_phrase}", "request_id"):
        assert expected in text
    assert "`" not in text
    for name in re.findall("`([^`]+)`", problem.description):
        assert f"<code>{escape(name)}</code>" in html


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_a_problem_is_described_as_json_too(client, code):
    described = client.get(f"/problems/{code}").json
    schema = client.get("/api/openapi.json").json
    ref = {"$ref": "#/components/schemas/Problem", "components": schema["components"]}
    jsonschema_rs.Draft202012Validator(ref).validate(described["example"])
    assert described["example"]["type"] == described["type"] == f"/problems/{code}"
    assert described["example"]["detail"] == PROBLEM_TYPES[code].example
    assert described["description"] == PROBLEM_TYPES[code].description


def test_all_problems_are_listed_with_their_pages(client):
    assert {problem["code"] for problem in client.get("/problems").json} == set(PROBLEM_TYPES)
    links = [unquote(link) for link in get_page(client, "/problems").links]
    assert set(links) >= {f"/problems/{code}" for code in PROBLEM_TYPES}


def test_the_type_of_an_error_is_the_url_of_its_page(client):
    error = client.get("/api/v2/potions?limit=0").json
    assert client.get(error["type"]).json["code"] == error["code"]


@pytest.mark.parametrize("code", ["unknown", "<script>", "..", "%00"])
def test_an_unknown_code_is_a_page_for_a_browser_and_a_problem_for_a_program(client, code):
    page, problem = (
        client.get(f"/problems/{code}", headers=BROWSER),
        client.get(f"/problems/{code}"),
    )
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "/problems" in Page(page.text).links
    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/api/dcos", "/potions", "/api/v2/potoins"])
def test_a_mistyped_url_is_a_page_for_a_browser_and_a_problem_for_a_program(client, path):
    page = client.get(path, headers=BROWSER)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert Page(page.text).forbidden == []
    assert "style-src 'self'" in page.headers["Content-Security-Policy"]
    assert "/api/docs" in Page(page.text).links
    for accept in ("*/*", "application/json", "application/problem+json", "image/png"):
        problem = client.get(path, headers={"Accept": accept})
        assert (problem.status_code, problem.json["code"]) == (404, "not-found")
        assert set(problem.vary) == set(page.vary) == {"Accept", "Authorization"}


def test_the_page_about_clients_names_the_url_that_the_reader_has_used(client):
    page = client.get("/api/docs/clients", base_url="http://localhost:8123", headers=BROWSER).text
    assert "curl -s http://localhost:8123/api/v2/openapi.json" in page


def test_the_documents_lead_to_the_pages_for_clients(client):
    for version, path in (
        ("v2", "/api/docs/clients"),
        ("v1", "/api/docs/moving-from-the-older-services"),
    ):
        description = client.get(f"/api/{version}/openapi.json").json["info"]["description"]
        assert f"]({path})" in description
    assert "/api/docs/moving-from-the-older-services" in get_page(client, "/api/docs/clients").links


def test_every_link_of_the_page_about_clients_works(client):
    for link in get_page(client, "/api/docs/clients").links:
        assert client.get(link).status_code == 200, link
