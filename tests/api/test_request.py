"""URLs, queries and the identity of a request, whatever the operation."""

import re
from io import BytesIO

import pytest

from tests.answers import parameters_and_codes
from tests.factories import make_ingredient

URL = "/api/v2/ingredients"
OPERATIONS = ["list", "item", "create", "change", "delete"]


@pytest.fixture
def call(client):
    """Return a caller of an operation by name that would succeed without the query."""

    def send(operation, query=""):
        one = f"{URL}/{make_ingredient().pk}"
        path = URL if operation in ("list", "create") else one
        method = {"create": "POST", "change": "PATCH", "delete": "DELETE"}.get(operation, "GET")
        how = {"json": {"name": "Mandrake"}} if operation in ("create", "change") else {}
        return client.open(path + query, method=method, headers={"If-Match": "*"}, **how)

    return send


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_without_a_query_succeeds(call, operation):
    assert call(operation).status_code in (200, 201, 204)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "query", ["?colour=red", "?colour", "?colour=", "?Limit=5", "?=5", "?%00=1"]
)
def test_an_unknown_parameter_is_422(call, operation, query):
    answer = call(operation, query)
    assert (answer.status_code, answer.json["code"]) == (422, "unknown-parameter")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "query",
    ["?x=%", "?x=%f", "?x=%zz", "?%=1", "?x=%u0041", "?x=%C3%28", "?x=%ff", "?x=%ED%A0%80", "?%ff"],
)
def test_what_is_not_percent_encoded_utf_8_is_400(call, operation, query):
    answer = call(operation, query)
    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


@pytest.mark.parametrize("path", ["/%ff", "/%C3%28", "/%zz", "/%"])
def test_so_is_a_path(client, path):
    answer = client.get(f"{URL}{path}")
    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


def test_text_that_is_sent_unescaped_is_read_as_utf_8(client):
    """Servers hand over the bytes as they came: curl does not escape what its user types."""
    make_ingredient(name="Wermut für Ähnliches")
    raw = "name=Wermut+für+Ähnliches".encode().decode("latin-1")
    overrides = {"QUERY_STRING": raw, "RAW_URI": f"{URL}?{raw}", "REQUEST_URI": f"{URL}?{raw}"}
    answer = client.get(URL, environ_overrides=overrides)
    assert [row["name"] for row in answer.json] == ["Wermut für Ähnliches"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_all_errors_of_a_query_are_reported_at_once(call, operation):
    answer = call(operation, "?a=1&b=2&b=3&c=4")
    assert answer.status_code == 422
    assert parameters_and_codes(answer) == {
        ("a", "unknown-parameter"),
        ("b", "unknown-parameter"),
        ("b", "repeated-parameter"),
        ("c", "unknown-parameter"),
    }


def test_errors_of_the_query_and_of_the_body_are_reported_together(client):
    answer = client.post(f"{URL}?x=1", json={"name": 5})
    assert {(entry.get("pointer"), entry.get("parameter")) for entry in answer.json["errors"]} == {
        ("#/name", None),
        (None, "x"),
    }


@pytest.mark.parametrize(
    "query",
    ["limit=5&limit=5", "limit=5&limit=6", "limit=5&%6cimit=5", "limit=5&limit", "limit=5&limit="],
)
def test_a_repeated_parameter_is_422(client, query):
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code == 422
    assert ("limit", "repeated-parameter") in parameters_and_codes(answer)


MISTAKEN = {
    "limit=": "wrong-type",
    "limit=ten": "wrong-type",
    "limit=1.0": "wrong-type",
    "limit=-1": "out-of-range",
    "limit=-0x1": "wrong-type",
    "limit=%2B5": "wrong-type",
    "limit=+5": "wrong-type",
    "limit=1e1": "wrong-type",
    "limit=1_0": "wrong-type",
    "limit=%D9%A5": "wrong-type",
    "limit=%00": "wrong-type",
    "limit=0": "out-of-range",
    "limit=201": "out-of-range",
    "limit=999999999": "out-of-range",
    "limit=99999999999999999999": "out-of-range",
    "limit=-99999999999999999999": "out-of-range",
    "count=": "not-one-of",
    "count=yes": "not-one-of",
    "count=EXACT": "not-one-of",
    "sort=": "not-one-of",
    "sort=-": "not-one-of",
    "sort=colour": "not-one-of",
    "sort=name,": "not-one-of",
    "sort=name, pk": "not-one-of",
    "sort=version": "not-one-of",
    "sort=--name": "not-one-of",
    "sort=name,-name": "duplicate",
    "sort=name%00": "not-one-of",
    "q=": "too-short",
    "q=%20%20": "too-short",
    "q=%00": "wrong-type",
    f"q={'a' * 201}": "too-long",
    "name=a%00": "wrong-type",
    f"name={'a' * 128}": "too-long",
}


@pytest.mark.parametrize(("query", "code"), MISTAKEN.items(), ids=[text[:30] for text in MISTAKEN])
def test_a_malformed_value_is_422(client, query, code):
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code == 422
    [entry] = answer.json["errors"]
    assert entry["parameter"] == query.partition("=")[0]
    assert entry["code"] == code


def test_a_list_tells_unknown_repeated_and_malformed_parameters_at_once(client):
    answer = client.get(f"{URL}?colour=red&limit=0&sort=size&count=exact&count=exact")
    assert answer.status_code == 422
    assert parameters_and_codes(answer) == {
        ("colour", "unknown-parameter"),
        ("limit", "out-of-range"),
        ("sort", "not-one-of"),
        ("count", "repeated-parameter"),
    }


def test_more_parameters_than_a_person_would_send_are_400(client):
    assert client.get(f"{URL}?{'&'.join(f'x{n}=1' for n in range(500))}").status_code == 400


def test_a_query_is_read_before_a_row_is_missed(client):
    """404 goes first: who may not see a row learns nothing from its mistakes."""
    missing = "01935f2e-7c1a-7b3e-9d3c-0123456789ab"
    assert client.get(f"{URL}/{missing}?x=1").status_code == 404


@pytest.mark.parametrize("given", ["abc", "A-b_c.9", "x" * 64])
def test_a_plain_request_id_of_the_client_is_beside_that_of_the_service(client, given):
    headers = client.get(URL, headers={"X-Request-ID": given}).headers
    assert headers["X-Client-Request-ID"] == given
    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-ID"])


@pytest.mark.parametrize(
    "given", ["", "a b", "x" * 65, "a;b", "é", '"a"', "a/b", "<script>", "a,b"]
)
def test_any_other_request_id_of_the_client_is_ignored(client, given):
    headers = client.get(URL, headers={"X-Request-ID": given}).headers
    assert "X-Client-Request-ID" not in headers
    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-ID"])


def test_every_request_has_a_new_id(client):
    assert len({client.get(URL).headers["X-Request-ID"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    "host",
    [
        "a b",
        "a/b",
        "a@b",
        "a:b",
        "a:1:2",
        "a, b",
        "\xff",
        "<a>",
        "[::1",
        "::1",
        "[g]",
        "a\\b",
        "a?",
    ],
)
def test_a_host_that_is_none_is_400(client, host):
    answer = client.get("/livez", environ_overrides={"HTTP_HOST": host})
    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")
    assert answer.json["errors"][0]["header"] == "Host"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:", "a.example:8000", "127.0.0.1", "[::1]", "[::1]:80", "a_b", ""],
)
def test_a_host_may_be_a_name_or_an_address_with_a_port(client, host):
    answer = client.get("/livez", environ_overrides={"HTTP_HOST": host})
    assert answer.status_code == 200


def test_a_trailing_slash_is_no_redirect(client):
    assert client.get(f"{URL}/").status_code == 200


def test_slashes_are_not_merged(client):
    answer = client.get("/api/v2//ingredients")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


# The rest of the body


MIB = 1024 * 1024
UNREAD_BODIES = {
    "an unknown path": ("POST", "/nowhere", {}, 100, 404),
    "a method that is not allowed": ("PUT", URL, {}, 100, 405),
    "another media type": ("POST", URL, {"Content-Type": "text/plain"}, 100, 415),
    "a malformed key": ("POST", URL, {"Idempotency-Key": "a b"}, 100, 400),
    "a body beyond the limit": ("POST", URL, {}, MIB + 1, 413),
    "a body that is not needed": ("GET", URL, {}, 100, 200),
}


def send_stream(client, stream, method, url, headers, length):
    """Send a request whose body the server reads from the stream."""
    headers = {"Content-Type": "application/json", "Content-Length": str(length)} | headers
    return client.open(url, method=method, headers=headers, input_stream=stream)


@pytest.mark.parametrize("case", UNREAD_BODIES)
def test_the_body_is_read_to_its_end_before_the_response(client, case):
    """A server that closes a connection with unread bytes resets it, and the response is lost."""
    method, url, headers, length, status = UNREAD_BODIES[case]
    stream = BytesIO(b" " * length)
    assert send_stream(client, stream, method, url, headers, length).status_code == status
    assert stream.tell() == length


def test_of_a_chunked_body_the_rest_is_read_too(client):
    stream = BytesIO(b" " * 100)
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    answer = client.post("/nowhere", input_stream=stream, environ_overrides=environ)
    assert (answer.status_code, stream.tell()) == (404, 100)


def test_little_more_than_the_largest_body_is_read(client):
    stream = BytesIO(b" " * 3 * MIB)
    assert send_stream(client, stream, "POST", URL, {}, 3 * MIB).status_code == 413
    assert MIB < stream.tell() < 1.1 * MIB


def test_a_body_that_breaks_off_leaves_the_response_as_it_is(client):
    class Broken(BytesIO):
        def read(self, *_):
            raise ConnectionResetError

    answer = send_stream(client, Broken(), "POST", "/nowhere", {}, 100)
    assert (answer.status_code, answer.json["code"]) == (404, "not-found")
