"""Paths that a rule for another path would miss."""

import pytest

MISSED = [
    *("//api/v2/potions", "/%2fapi/v2/potions", "/%2Fapi/v2/potions", "///livez"),
    *("/api%2fv2/potions", "/api/v2%2Fpotions", "//api/v1/potions", "/api%2fv1/potions/"),
    *(
        "/api/v1/stores//",
        "/api/v1//",
        "/api/v1/stores%2f",
        "/api//v2/potions",
        "/api/v2/potions//",
    ),
]


@pytest.mark.parametrize("path", MISSED)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_path_with_slashes_that_others_read_differently_is_404(client, path, method):
    decoded = path.replace("%2f", "/").replace("%2F", "/")
    environ = {"PATH_INFO": decoded, "RAW_URI": path, "REQUEST_URI": path}
    answer = client.open("/", method=method, environ_overrides=environ)
    assert (answer.status_code, answer.json["code"]) == (404, "not-found")


@pytest.mark.parametrize("query", ["name=a%2fb", "name=//"])
def test_a_query_may_have_any_slashes(client, query):
    assert client.get(f"/api/v2/potions?{query}").status_code == 200
