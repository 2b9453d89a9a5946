"""Bodies: what JSON leaves open is closed, and nothing that a client sends is a defect."""

import json
import sys
from time import monotonic
from uuid import UUID

import pytest

from tests.answers import pointers_and_codes
from tests.factories import make_ingredient

URL = "/api/v2/ingredients"
MIB = 1024 * 1024


def send(client, body, media_type="application/json", **how):
    return client.post(URL, data=body, content_type=media_type, **how)


def nested(levels):
    """Return an object with a value that is nested so deep that there are `levels` in all."""
    return b'{"name": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


MALFORMED = {
    "nothing": b"",
    "white space": b"  \n",
    "a key twice": b'{"name": "a", "name": "b"}',
    "a key twice, once escaped": rb'{"name": "a", "n\u0061me": "b"}',
    "a key twice deep inside": b'{"name": "a", "description": [{"x": 1, "x": 1}]}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "-Infinity": b'{"name": -Infinity}',
    "1e400": b'{"name": 1e400}',
    "-1e400": b'{"name": -1e400}',
    "an integer of 5,000 digits": b'{"name": ' + b"9" * 5000 + b"}",
    "33 levels": nested(33),
    "10,000 levels": nested(10_000),
    "500,000 levels that never end": b"[" * 500_000,
    "10,000 levels of objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "something behind the end": b'{"name": "a"} {}',
    "a comma behind the last": b'{"name": "a",}',
    "half of an object": b'{"name": "a"',
    "half of a string": b'{"name": "a',
    "single quotes": b"{'name': 'a'}",
    "a comment": b'{"name": "a"} // b',
    "a leading zero": b'{"name": 01}',
    "a bare word": b"mandrake",
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"name": "a"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "a"}'.encode("utf-32"),
    "Latin-1": '{"name": "é"}'.encode("latin-1"),
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "half a surrogate pair in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "NUL": b'{"name": "a\x00b"}',
    "NUL, escaped": rb'{"name": "a\u0000b"}',
    "NUL in a key": rb'{"name": "a", "\u0000": 1}',
    "half a surrogate pair": rb'{"name": "\ud83d"}',
    "the other half": rb'{"name": "\ude00"}',
    "both halves crosswise": rb'{"name": "\ude00\ud83d"}',
    "half a surrogate pair in a key": rb'{"name": "a", "\ud83d": 1}',
    "a line break in a string": b'{"name": "a\nb"}',
    "a control character in a string": b'{"name": "a\x01b"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_one_strict_json_text_is_400(client, body):
    answer = send(client, body)
    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_patch_is_as_strict(client, body):
    one = f"{URL}/{make_ingredient().pk}"
    media_type = "application/merge-patch+json"
    answer = client.patch(one, data=body, content_type=media_type, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


def test_32_levels_are_read(client):
    answer = send(client, nested(32))
    assert (answer.status_code, answer.json["code"]) == (422, "wrong-type")


def test_brackets_in_a_string_are_no_levels(client):
    assert send(client, json.dumps({"name": "[{" * 50})).status_code == 201


def test_a_whole_surrogate_pair_is_one_character(client):
    assert send(client, rb'{"name": "\ud83d\ude00"}').json["name"] == "😀"


def test_an_escaped_control_character_is_stored(client):
    assert send(client, rb'{"name": "a\u0001\"\\b"}').json["name"] == 'a\x01"\\b'


@pytest.mark.parametrize(
    "body", [b"[]", b'"Mandrake"', b"5", b"true", b"null", b"[{}]"], ids=bytes.decode
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_body_that_is_no_object_is_422(client, method, body):
    url = URL if method == "POST" else f"{URL}/{make_ingredient().pk}"
    answer = client.open(
        url,
        method=method,
        data=body,
        content_type="application/json",
        headers={"If-Match": "*"},
    )
    assert (answer.status_code, answer.json["code"]) == (422, "wrong-type")
    assert answer.json["errors"][0]["pointer"] == "#"


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/merge-patch+json",
        "application/problem+json",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json, application/json",
        'application/json; charset="utf-16',
        "application/json; charset=\xff",
        "application/json; charset",
        "application/json; charset =utf-16",
        "application/json; charset=utf-16; charset=utf-8",
        "application/json; charset*=utf-16''utf-16",
    ],
)
def test_another_media_type_is_415(client, media_type):
    answer = send(client, b'{"name": "a"}', media_type)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported-media-type")
    assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=UTF-8",
        'application/json ; charset="utf-8"; version=1',
        "application/json;",
    ],
)
def test_json_in_utf_8_is_read(client, media_type):
    assert send(client, b'{"name": "a"}', media_type).status_code == 201


def test_a_patch_names_the_media_types_that_it_takes(client):
    one = f"{URL}/{make_ingredient().pk}"
    answer = client.patch(one, data=b"{}", content_type="text/plain", headers={"If-Match": "*"})
    assert answer.status_code == 415
    assert answer.headers["Accept-Patch"] == "application/json, application/merge-patch+json"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_415(client, coding):
    answer = send(client, b'{"name": "a"}', headers={"Content-Encoding": coding})
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported-media-type")


def padded(size):
    body = b'{"name": "Mandrake"'
    return body + b" " * (size - len(body) - 1) + b"}"


def test_one_mebibyte_is_read(client):
    assert send(client, padded(MIB)).status_code == 201


def test_one_byte_more_is_413(client):
    answer = send(client, padded(MIB + 1))
    assert (answer.status_code, answer.json["code"]) == (413, "content-too-large")


def test_a_large_body_of_distinct_keys_is_refused_at_once(client):
    """The search for the key that stands twice must not grow with the square of the keys."""
    keys = [f'"{number}":0' for number in range(30_000)]
    body = "{" + ",".join([*keys, keys[-1]]) + "}"
    begun = monotonic()
    assert send(client, body).status_code == 400
    assert monotonic() - begun < 10


def test_every_unknown_field_has_its_pointer(client):
    answer = client.post(URL, json={"name": "a", "a/b": 1, "c~d": 1, "": 1, "_schema": 1})
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {
        ("#/a~1b", "unknown-field"),
        ("#/c~0d", "unknown-field"),
        ("#/", "unknown-field"),
        ("#/_schema", "unknown-field"),
    }


def test_a_single_error_gives_its_code_to_the_answer(client):
    answer = client.post(URL, json={"name": "a", "colour": "red"})
    assert answer.json["code"] == "unknown-field"
    assert answer.json["type"] == "/problems/unknown-field"


def test_errors_of_several_codes_are_invalid_together(client):
    answer = client.post(URL, json={"colour": "red", "description": 5})
    assert answer.json["code"] == "invalid"
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [
        ("#/name", "required"),
        ("#/description", "wrong-type"),
        ("#/colour", "unknown-field"),
    ]


@pytest.mark.parametrize("name", ["pk", "created_at", "updated_at"])
def test_a_read_only_field_on_create_is_refused(client, name):
    answer = client.post(URL, json={"name": "a", name: None})
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {(f"#/{name}", "read-only")}


@pytest.mark.parametrize(
    ("name", "rewrite"),
    [
        ("created_at", lambda text: text.replace("+00:00", "Z")),
        ("created_at", lambda text: text.replace("+00:00", "000Z")),
        ("pk", str.upper),
    ],
)
def test_a_patch_may_repeat_a_read_only_value_in_another_form(client, name, rewrite):
    url = client.post("/api/v2/ingredients", json={"name": "Mandrake"}).headers["Location"]
    body = {name: rewrite(client.get(url).json[name])}
    assert client.patch(url, json=body, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize("value", ["2026-11-20T07:15:00Z", "yesterday", None, 1, {}])
def test_a_patch_must_not_change_a_read_only_time(client, value):
    url = client.post("/api/v2/ingredients", json={"name": "Mandrake"}).headers["Location"]
    answer = client.patch(url, json={"created_at": value}, headers={"If-Match": "*"})
    assert pointers_and_codes(answer) == {("#/created_at", "read-only")}


BODIES = {
    "empty objects": lambda n: "[" + ",".join(["{}"] * n) + "]",
    "floats": lambda n: "[" + ",".join(["1.5"] * n) + "]",
    "unknown fields": lambda n: "{" + ",".join(f'"a{i}":1' for i in range(n)) + "}",
    "empty items": lambda n: '{"ingredients":[' + ",".join(["{}"] * n) + "]}",
    "numbers as items": lambda n: '{"ingredients":[' + ",".join(["1.5"] * n) + "]}",
    "keys": lambda n: '{"ingredients":[' + ",".join(f'"{UUID(int=i)}"' for i in range(n)) + "]}",
    "one key": lambda n: '{"ingredients":[' + ",".join([f'"{UUID(int=1)}"'] * n) + "]}",
    "unknown fields of an item": lambda n: (
        '{"ingredients":[{' + ",".join(f'"a{i}":1' for i in range(n)) + "}]}"
    ),
}


def count_calls(function):
    """Return how many functions a function calls."""
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("url", ["/api/v2/potions", "/api/v1/potions"])
@pytest.mark.parametrize("kind", BODIES)
def test_the_cost_of_a_body_is_linear(client, url, kind):
    """Twice as many values take at most twice as many function calls, and no more than 200 each."""

    def calls(count):
        body = BODIES[kind](count)
        return count_calls(lambda: client.post(url, data=body, content_type="application/json"))

    calls(250)
    small, medium, large = calls(250), calls(500), calls(1000)
    assert large - medium < 2.2 * (medium - small) + 200
    assert large < 200 * 1000


UNKNOWN = {f"a{i}": 1 for i in range(5000)}


@pytest.mark.parametrize(
    ("url", "body", "count"),
    [
        ("/api/v2/potions", UNKNOWN, 5000 + 2),
        ("/api/v2/potions", {"name": "Tea", "ingredients": [UNKNOWN, UNKNOWN]}, 10_000 + 2),
        ("/api/v2/potions/batch", [UNKNOWN] * 3, 15_000 + 6),
    ],
)
def test_an_unknown_field_that_is_not_listed_costs_next_to_nothing(client, url, body, count):
    """Each takes a few calls of functions, instead of 50."""
    text = json.dumps(body)
    client.post(url, data=text, content_type="application/json")
    answers = []
    calls = count_calls(
        lambda: answers.append(client.post(url, data=text, content_type="application/json"))
    )
    assert answers[0].status_code == 422
    assert len(answers[0].json["errors"]) == 100
    assert answers[0].json["unlisted_errors"] == count - 100
    assert calls < 20_000 + 4 * count


def test_a_potion_of_v1_has_at_most_1000_ingredients(client):
    body = {"name": "Tea", "ingredients": [str(UUID(int=1))] * 1001}
    assert pointers_and_codes(client.post("/api/v1/potions", json=body)) == {
        ("#/ingredients", "too-long")
    }
