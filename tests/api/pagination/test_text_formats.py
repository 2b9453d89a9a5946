"""Lists as CSV and NDJSON: the values of the JSON list, with its filters, sorts and links."""

import csv
import io
import json
import re

import pytest

from alchemist.api.pagination import page
from tests.factories import (
    make_coupon,
    make_hero,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_token,
    make_user,
)

URL = "/api/v2/ingredients"
CSV, NDJSON, JSON = "text/csv", "application/x-ndjson", "application/json"
# Line breaks, quotes, separators, beginnings of formulas, and a character beyond the BMP.
NASTY = [
    "a\nb",
    "a\r\nb",
    "a\rb",
    '"',
    'x""y',
    ",",
    ";",
    "=1+1",
    "+1",
    "-1",
    "@a",
    "a\tb",
    "😀",
    "\\",
]


def get(client, url, accept):
    answer = client.get(url, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


def next_url(answer):
    found = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
    return found and found[1]


@pytest.fixture
def rows(client):
    """Two rows or more in every table, with and without values."""
    user = make_user(full_name='Ada "the first"\nLovelace')
    make_token(user)
    make_hero(user_id=user.pk)
    make_hero(role="mage")
    tea, soup = make_ingredient(description=""), make_ingredient(description='a,"b"\r\nc')
    make_potion(tea, soup)
    coupon = make_coupon(percent_off=10)
    order = make_order(make_product(stock=3), make_product(description=""), user=user)
    make_order(make_product(potion_id=make_potion(tea).pk), coupon_code=coupon.code)
    assert client.post(f"/api/v2/coupons/{coupon.pk}/redemptions").status_code == 201
    return {"user_id": user.pk, "coupon_id": coupon.pk, "order": order}


def lists(app):
    """Return the paths of all lists of version 2."""
    paths = app.test_client().get("/api/v2/openapi.json").json["paths"]
    return [
        path
        for path, item in paths.items()
        if any(each["name"] == "cursor" for each in item.get("get", {}).get("parameters", ()))
    ]


def as_csv_field(value):
    """Return a value as the field of a record: that is what a CSV reader finds there."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.loads(json.dumps(value)) if isinstance(value, list | dict) else json.dumps(value)


def test_every_list_has_the_values_of_its_json_as_csv_and_ndjson(app, client, rows):
    paths = lists(app)
    assert len(paths) == 11
    for path in paths:
        url = path.format(**rows)
        expected = get(client, url, JSON).json
        assert expected, path
        lines = get(client, url, NDJSON).get_data(as_text=True).split("\n")
        assert lines.pop() == ""
        assert [json.loads(line) for line in lines] == expected
        text = get(client, url, CSV).get_data(as_text=True)
        records = list(csv.DictReader(io.StringIO(text, newline="")))
        assert list(records[0]) == list(expected[0])
        for record, row in zip(records, expected, strict=True):
            for name, value in row.items():
                is_json = isinstance(value, list | dict)
                field = json.loads(record[name]) if is_json else record[name]
                assert field == as_csv_field(value), (path, name)


def test_csv_is_that_of_rfc_4180(client):
    make_ingredient(name='a "b"', description="")
    make_ingredient(name="c")
    answer = get(client, URL, CSV)
    assert answer.content_type == "text/csv; charset=utf-8; header=present"
    header, first, second, end = answer.get_data(as_text=True).split("\r\n")
    assert header.startswith("pk,name,description,")
    assert ',"a ""b""","",' in first
    assert ',"c",,' in second
    assert end == ""


def test_texts_come_back_as_they_are(client):
    expected = []
    for text in NASTY:
        expected += [make_ingredient(name=f"{text}.", description=f"{text}.").name]
    body = get(client, URL, CSV).get_data(as_text=True)
    records = csv.DictReader(io.StringIO(body, newline=""), strict=True)
    assert [(each["name"], each["description"]) for each in records] == [
        (name, name) for name in expected
    ]
    lines = get(client, URL, NDJSON).get_data(as_text=True).splitlines()
    assert [json.loads(line)["name"] for line in lines] == expected


def test_an_empty_list_is_a_header_or_nothing(client):
    assert get(client, URL, CSV).get_data(as_text=True).count("\r\n") == 1
    answer = get(client, URL, NDJSON)
    assert (answer.data, answer.content_type) == (b"", NDJSON)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", JSON),
        ("text/*", CSV),
        ("application/*", JSON),
        ("application/problem+json", JSON),
        (f"{JSON}, {CSV}", JSON),
        (f"{CSV}, {JSON}", JSON),
        (f"{CSV}, */*;q=0.8", CSV),
        (f"{JSON};q=0.5, {NDJSON};q=0.9, {CSV};q=0.8", NDJSON),
        (f"{JSON};q=0, */*", CSV),
        (f"{CSV};q=0, text/*", None),
        (f"{CSV};header=present", CSV),
        ("TEXT/CSV", CSV),
        ("text/html", None),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
    ],
)
def test_accept_decides_by_quality(client, accept, media_type):
    answer = client.get(URL, headers={"Accept": accept})
    if media_type is None:
        assert (answer.status_code, answer.json["code"]) == (406, "not-acceptable")
        assert CSV in answer.json["detail"]
    else:
        assert (answer.status_code, answer.mimetype) == (200, media_type)
        assert "Accept" in answer.headers["Vary"].split(", ")


def test_an_item_has_no_text_format(client):
    answer = client.get(f"{URL}/{make_ingredient().pk}", headers={"Accept": CSV})
    assert answer.status_code == 406


@pytest.mark.parametrize("accept", [CSV, NDJSON])
def test_a_text_page_has_up_to_10_000_rows(client, accept):
    for number in range(201):
        make_ingredient(name=f"{number}")
    assert get(client, f"{URL}?limit=10000", accept).data.count(b'"200"') == 1
    assert client.get(f"{URL}?limit=10001", headers={"Accept": accept}).status_code == 422
    answer = client.get(f"{URL}?limit=201")
    assert answer.status_code == 422
    assert "Accept" in answer.headers["Vary"].split(", ")


def test_filters_sorts_counts_and_links_are_those_of_the_list(client):
    for name in ("b", "a", "c", "a"):
        make_ingredient(name=name)
    url, names = f"{URL}?sort=-name&limit=3&count=exact", []
    while url:
        answer = get(client, url, CSV)
        assert answer.headers["X-Total-Count"] == "4"
        records = csv.DictReader(io.StringIO(answer.get_data(as_text=True), newline=""))
        names.append([each["name"] for each in records])
        url = next_url(answer)
    assert names == [["c", "b", "a"], ["a"]]
    assert get(client, f"{URL}?name=a", NDJSON).data.count(b"\n") == 2
    assert client.get(f"{URL}?nam=a", headers={"Accept": CSV}).status_code == 422


def test_a_cursor_continues_in_another_format(client):
    made = [str(make_ingredient().pk) for _ in range(3)]
    url = next_url(get(client, f"{URL}?limit=1", CSV))
    assert [json.loads(get(client, url, NDJSON).data)["pk"]] == made[1:2]
    assert get(client, url, JSON).json[0]["pk"] == made[1]


@pytest.fixture
def small_pages(monkeypatch):
    """Let a page have 1,000 bytes."""
    monkeypatch.setattr(page, "MAX_PAGE_BYTES", 1000)
    page._page_statement.cache_clear()
    yield
    page._page_statement.cache_clear()


@pytest.mark.parametrize("accept", [CSV, NDJSON])
def test_a_page_ends_before_it_has_too_many_bytes(client, small_pages, accept):
    made = [str(make_ingredient(description="x" * size).pk) for size in (10, 1500, 220, 220, 220)]
    url, pages = f"{URL}?limit=4", []
    while url:
        answer = get(client, url, accept)
        pages.append([pk for pk in made if pk in answer.text])
        url = next_url(answer)
    # A row that is larger is a page of its own.
    assert pages == [made[:1], made[1:2], made[2:4], made[4:]]


def test_a_text_list_needs_the_permission_of_the_list(client_with_auth):
    answer = client_with_auth.get("/api/v2/orders", headers={"Accept": CSV})
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")


def test_a_long_page_counts_as_costly(app, client, monkeypatch):
    counted = []
    monkeypatch.setattr(
        "alchemist.api.read_blueprint.rate_limits.count_costly_request_or_raise",
        lambda: counted.append(1),
    )
    get(client, f"{URL}?limit=200", CSV)
    assert counted == []
    get(client, f"{URL}?limit=201", CSV)
    assert counted == [1]


def test_head_has_the_headers_of_the_text(client):
    make_ingredient()
    headers = {"Accept": CSV}
    answer = client.head(URL, headers=headers)
    assert answer.headers["Content-Length"] == str(len(client.get(URL, headers=headers).data))
    assert answer.data == b""


def test_the_document_names_the_text_formats_beside_json(app, client):
    document = client.get("/api/v2/openapi.json").json
    for path in lists(app):
        response = document["paths"][path]["get"]["responses"]["200"]
        assert list(response["content"]) == [JSON]
        assert list(response["x-other-content"]) == [CSV, NDJSON]
        assert response["x-other-content"][CSV]["schema"] == {"type": "string"}
