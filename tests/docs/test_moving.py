"""The page for clients of the v1 services."""

import re
from datetime import date
from html import unescape

URL = "/api/docs/moving-from-the-older-services"


def test_it_names_the_successor_of_every_operation(client):
    html = unescape(client.get(URL).text)
    rows = dict(re.findall(r"<td><code>(.*?)</code></td><td><code>(.*?)</code></td>", html))
    v1, v2 = (client.get(f"/api/{version}/openapi.json").json["paths"] for version in ("v1", "v2"))
    operations = {
        f"{method.upper()} {path}" for path, item in v1.items() for method in item.keys() - {"head"}
    }
    assert set(rows) == operations - {"GET /api/v1/", "GET /api/v1/health"}
    known = {operation["operationId"] for item in v2.values() for operation in item.values()}
    assert set(rows.values()) <= known


def test_it_says_first_who_must_move_to_version_1(client):
    html = client.get(URL).text
    assert html.index("/api/v2/ingredients") < html.index("Base URL")


def test_it_says_when_version_1_ends(client, make_committing_app):
    assert "not decided" in client.get(URL).text
    app = make_committing_app(v1_sunset=date(2027, 12, 31))
    assert "Fri, 31 Dec 2027" in app.test_client().get(URL).text
