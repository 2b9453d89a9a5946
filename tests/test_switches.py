"""Settings that switch v1 and the documentation off, and security.txt on."""

import re
from datetime import UTC, datetime, timedelta

import pytest

HTML = {"Accept": "text/html"}


@pytest.fixture
def make_client(make_committing_app):
    """Return a function that makes a client of an app with these settings."""
    return lambda **settings: make_committing_app(**settings).test_client()


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1", "/api/v1/", "/api/v1/ingredients", "/api/v1/openapi.json", "/api/v1/health"),
        "/api/docs/moving-from-the-older-services",
    ],
)
def test_without_v1_its_paths_are_404(make_client, path):
    assert make_client().get(path).status_code == 200
    response = make_client(v1=False).get(path)
    assert (response.status_code, response.json["code"]) == (404, "not-found")
    assert "Deprecation" not in response.headers
    assert "Link" not in response.headers


@pytest.mark.parametrize("path", ["/", "/api/docs", "/api/openapi.json", "/problems", "/nowhere"])
def test_without_v1_no_page_mentions_it(make_client, path):
    client = make_client(v1=False)
    for headers in ({}, HTML):
        text = client.get(path, headers=headers).text
        assert not re.search(r"/api/v1|moving-from", text)


def test_without_v1_version_2_works(make_client):
    client = make_client(v1=False)
    assert client.post("/api/v2/ingredients", json={"name": "Mandrake"}).status_code == 201
    assert client.get("/api/v2/ingredients?unknown=1").status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        *("/api/docs", "/api/openapi.json", "/api/v2/openapi.json", "/api/v1/openapi.json"),
        "/api/docs/moving-from-the-older-services",
    ],
)
def test_without_docs_their_paths_are_404(make_client, path):
    assert make_client().get(path).status_code == 200
    assert make_client(docs=False).get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/api", "/problems", "/problems/not-found", "/nowhere", "/api/v1/nowhere"]
)
@pytest.mark.parametrize("headers", [{}, HTML], ids=["JSON", "HTML"])
def test_without_docs_nothing_links_to_them(make_client, path, headers):
    response = make_client(docs=False).get(path, headers=headers)
    assert response.status_code == (404 if "nowhere" in path else 200)
    style = r"/api/docs/\w+/pages.css"
    text = re.sub(style, "", response.text + response.headers.get("Link", ""))
    assert not re.search(r"/api/docs|openapi", text)


def test_without_docs_the_pages_of_problems_have_their_style_and_nothing_else(make_client):
    client, with_docs = make_client(docs=False), make_client()
    page = client.get("/problems", headers=HTML).text
    [style] = re.findall(r'href="(/api/docs/\w+/pages.css)"', page)
    assert client.get(style).status_code == 200
    script = style.replace("pages.css", "swagger-ui-bundle.js")
    assert with_docs.get(script).status_code == 200
    assert client.get(script).status_code == 404


def test_security_txt_has_the_contact_and_an_end(make_client):
    contact = "mailto:security@shop.example"
    response = make_client(security_contact=contact).get("/.well-known/security.txt")
    assert (response.status_code, response.mimetype) == (200, "text/plain")
    fields = dict(line.split(": ", 1) for line in response.text.splitlines())
    assert fields["Contact"] == contact
    left = datetime.fromisoformat(fields["Expires"]) - datetime.now(UTC)
    assert timedelta(days=30) < left < timedelta(days=365)


def test_security_txt_does_not_exist_without_a_contact(make_client):
    assert make_client().get("/.well-known/security.txt").status_code == 404
