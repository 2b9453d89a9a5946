"""What version 1 accepts and version 2 does not: all that the v1 services read without a loss."""

import json
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from tests.answers import error_pointers
from tests.factories import make_hero, make_ingredient, make_product, make_store, make_user

STORE = {
    "name": "The Crooked Ladle",
    "city": "Brassel",
    "country": "Belgium",
    "currency": "EUR",
    "zipcode": "1000",
    "street": "7 Tallow Lane",
}
# How to make a valid body, by the path that creates a row.
BODIES = {
    "/api/v1/ingredients": lambda: {"name": "Mandrake"},
    "/api/v1/potions": lambda: {"name": "Draught", "ingredients": [str(make_ingredient().pk)]},
    "/api/v1/user/create-user": lambda: {"email": "ada@alchemist.example", "full_name": "Ada"},
    "/api/v1/heroes": lambda: {"nickname": "Thistle"},
    "/api/v1/stores/": lambda: dict(STORE),
    "/api/v1/products/": lambda: {"storeId": str(make_store().pk), "name": "Salve", "price": 1},
    "/api/v1/coupons/": lambda: {"code": "Brew", "init_count": 5},
    "/api/v1/orders/": lambda: {
        "items": [{"productId": str(make_product().pk), "quantity": 1}],
    },
}
# How to make a row, and a valid change of it, by the path of the row.
CHANGES = {
    "/api/v1/heroes/{}": (make_hero, {"role": "mage"}),
    "/api/v1/stores/{}": (make_store, {"city": "Ghent"}),
    "/api/v1/products/{}": (make_product, {"name": "Balm"}),
}
REQUESTS = [*BODIES, *CHANGES]


@pytest.fixture
def send(client):
    """Return what sends a request: its path, a function of its valid body, and its headers."""

    def call(path, encode=lambda body: json.dumps(body).encode(), **headers):
        if path in BODIES:
            method, body = "POST", BODIES[path]()
        else:
            make, body = CHANGES[path]
            method, path = "PATCH", path.format(make().pk)
        headers.setdefault("Content_Type", "application/json")
        named = {name.replace("_", "-"): value for name, value in headers.items() if value}
        return client.open(path, method=method, data=encode(body), headers=named)

    return call


def is_accepted(answer):
    assert answer.status_code in (200, 201, 204), answer.text
    return True


# Media types and encodings


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(
    "media_type",
    [
        *(None, "application/vnd.api+json", "application/problem+json", "application/hal+json"),
        *("application/merge-patch+json", "APPLICATION/X+JSON; charset=UTF-8"),
    ],
)
def test_json_needs_no_media_type_or_any_of_json(send, path, media_type):
    assert is_accepted(send(path, Content_Type=media_type))


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(
    "media_type",
    [
        *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"),
        *("text/json", "application/xml", "application/json; charset=utf-16", "json"),
    ],
)
def test_another_media_type_is_refused(send, path, media_type):
    assert send(path, Content_Type=media_type).status_code == 415


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("coding", ["utf-8", "UTF-8", "identity"])
def test_an_encoding_may_be_named_as_a_content_coding(send, path, coding):
    assert is_accepted(send(path, Content_Encoding=coding))


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate"])
def test_a_content_coding_is_refused(send, coding):
    assert send("/api/v1/ingredients", Content_Encoding=coding).status_code == 415


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("media_type", ["application/json", None])
def test_a_byte_order_mark_is_skipped(send, path, media_type):
    answer = send(
        path, lambda body: b"\xef\xbb\xbf" + json.dumps(body).encode(), Content_Type=media_type
    )
    assert is_accepted(answer)


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(
    "body",
    [
        *(
            b"\xff",
            b'{"name": "\xe4"}',
            b"",
            b"{",
            b"{}x",
            b"[" * 100_000,
            b'{"a": 1,}',
            b"{'a': 1}",
        ),
        *(b"\xef\xbb\xbf\xef\xbb\xbf{}", b'"\xed\xa0\x80"', '{"a": 1}'.encode("utf-16")),
    ],
)
def test_what_is_no_json_is_refused_in_the_words_of_the_framework(send, path, body):
    answer = send(path, lambda _: body)
    assert answer.status_code == 400
    assert answer.json["detail"] == "There was an error parsing the body"
    assert answer.json["errors"][0]["detail"] != answer.json["detail"]


# Members that are ignored

IGNORED = [
    *('"surprise": 1, "surprise": 2', '"surprise": {"a": 1, "a": 2}', '"surprise": NaN'),
    *('"surprise": [-Infinity, 1e400]', f'"surprise": {"[" * 500}{"]" * 500}', '"\\ud834": 1'),
    *(
        '"surprise": "\\u0000"',
        '"\\u0000": 1',
        f'"surprise": {"9" * 5000}',
        '"surprise": "\\ud834"',
    ),
    *(", ".join(f'"member {number}": 1' for number in range(500)), '"pk": "x", "id": 5, "": null'),
    *('"storeId ": NaN', '"orderId": NaN', '"uuid": NaN, "uuid": 1'),
]


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("members", IGNORED, ids=range(len(IGNORED)))
def test_what_is_ignored_may_be_anything(send, path, members):
    answer = send(path, lambda body: f"{{{members}, {json.dumps(body)[1:]}".encode())
    assert is_accepted(answer)


@pytest.mark.parametrize("members", IGNORED, ids=range(len(IGNORED)))
def test_what_is_ignored_in_an_item_may_be_anything(client, members):
    item = json.dumps({"productId": str(make_product().pk), "quantity": 1})
    data = f'{{"items": [{{{members}, {item[1:]}]}}'
    assert is_accepted(client.post("/api/v1/orders/", data=data))


@pytest.mark.parametrize(
    "value",
    [
        *("NaN", "Infinity", "1e400", "9" * 5000, '"\\u0000"', '"\\ud834"', "[" * 40 + "]" * 40),
        *('"a", "NAME": "b"', '"a", "NAME": "a"'),
    ],
)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("/api/v1/ingredients", "name"), ("/api/v1/user/create-user", "full_name")),
        *(("/api/v1/heroes/{}", "nickname"), ("/api/v1/products/{}", "price")),
        *(("/api/v1/coupons/", "init_count"), ("/api/v1/orders/", "items")),
    ],
)
def test_what_is_read_is_as_strict_as_in_version_2(send, path, name, value):
    def encode(body):
        others = {key: member for key, member in body.items() if key != name}
        member = f'{{"{name}": {value.replace("NAME", name)}'
        return f"{member}, {json.dumps(others)[1:]}".replace(", }", "}").encode()

    assert send(path, encode).status_code == 400


def test_more_than_a_mebibyte_is_refused(send):
    answer = send("/api/v1/heroes", lambda body: json.dumps(body).encode() + b" " * 1024 * 1024)
    assert answer.status_code == 413


# Numbers for text

TEXTS = [
    *(("/api/v1/user/create-user", "full_name"), ("/api/v1/heroes", "nickname")),
    *(("/api/v1/stores/", name) for name in ("name", "city", "country", "zipcode", "street")),
    *(("/api/v1/stores/", "phone"), ("/api/v1/coupons/", "code")),
    *(("/api/v1/products/", "name"), ("/api/v1/products/", "description")),
]


@pytest.mark.parametrize(("path", "name"), TEXTS)
@pytest.mark.parametrize(
    ("number", "text"), [(76131, "76131"), (0, "0"), (-5, "-5"), (1.5, "1.5"), (2.0, "2.0")]
)
def test_a_number_for_text_becomes_its_digits(client, path, name, number, text):
    answer = client.post(path, json=BODIES[path]() | {name: number})
    assert is_accepted(answer)
    assert answer.json[name] == text


@pytest.mark.parametrize(("path", "name"), TEXTS)
@pytest.mark.parametrize("value", [True, False, [], [5], {}])
def test_what_is_neither_text_nor_number_is_refused(client, path, name, value):
    answer = client.post(path, json=BODIES[path]() | {name: value})
    assert (answer.status_code, error_pointers(answer)) == (422, {f"#/{name}"})


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path, name in TEXTS if "user" not in path and "coupons" not in path],
)
def test_a_change_takes_numbers_for_text(client, path, name):
    template = f"{path.rstrip('/')}/{{}}"
    url = template.format(CHANGES[template][0]().pk)
    assert is_accepted(client.patch(url, json={name: 49721123}))
    assert client.get(url).json[name] == "49721123"


@pytest.mark.parametrize("path", ["/api/v1/ingredients", "/api/v1/potions"])
def test_ingredients_and_potions_take_no_number_for_text(client, path):
    answer = client.post(path, json=BODIES[path]() | {"name": 5})
    assert (answer.status_code, error_pointers(answer)) == (422, {"#/name"})


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("email", "/api/v1/user/create-user"),
        ("email", "/api/v1/stores/"),
        ("domain", "/api/v1/stores/"),
        ("currency", "/api/v1/stores/"),
        ("role", "/api/v1/heroes"),
    ],
)
def test_a_number_is_no_address_and_no_choice(client, path, name):
    answer = client.post(path, json=BODIES[path]() | {name: 5})
    assert (answer.status_code, error_pointers(answer)) == (422, {f"#/{name}"})


# Whole numbers

WHOLE = [("2", 2), (2.0, 2), ("2.0", 2), (" 2 ", 2), ("+2", 2), ("007", 7), (2e0, 2)]
NOT_WHOLE = [2.7, "2.7", True, False, "", " ", "two", "2,0", "0x2", [], [2], {}, "1e400", "²"]


@pytest.mark.parametrize(("sent", "quantity"), [*WHOLE, (2**31 - 1, 2**31 - 1)])
def test_a_quantity_may_be_text_or_end_in_zero(client, sent, quantity):
    items = [{"productId": str(make_product(price=0).pk), "quantity": sent}]
    answer = client.post("/api/v1/orders/", json={"items": items})
    assert is_accepted(answer)
    assert answer.json["items"][0]["quantity"] == quantity


@pytest.mark.parametrize("sent", [*NOT_WHOLE, None, 0, "0", -1, 2**31, str(2**31), 1e300])
def test_what_is_no_quantity_is_refused(client, sent):
    items = [{"productId": str(make_product(price=0).pk), "quantity": sent}]
    answer = client.post("/api/v1/orders/", json={"items": items})
    assert (answer.status_code, error_pointers(answer)) == (422, {"#/items/0/quantity"})


def test_quantities_of_one_product_may_add_up_to_too_many(client):
    items = [{"productId": str(make_product(price=0).pk), "quantity": 2**31 - 1}] * 2
    answer = client.post("/api/v1/orders/", json={"items": items})
    assert (answer.status_code, answer.json["code"]) == (422, "out-of-range")


@pytest.mark.parametrize("name", ["init_count", "remaining_count"])
@pytest.mark.parametrize(("sent", "count"), [*WHOLE, ("0", 0), (2**31 - 1, 2**31 - 1)])
def test_a_count_may_be_text_or_end_in_zero(client, name, sent, count):
    body = {"code": "Brew", "init_count": 2**31 - 1} | {name: sent}
    answer = client.post("/api/v1/coupons/", json=body)
    assert is_accepted(answer)
    assert answer.json[name] == count


@pytest.mark.parametrize("name", ["init_count", "remaining_count"])
@pytest.mark.parametrize("sent", [*NOT_WHOLE, -1, "-1", 2**31, 1e300])
def test_what_is_no_count_is_refused(client, name, sent):
    body = {"code": "Brew", "init_count": 5} | {name: sent}
    answer = client.post("/api/v1/coupons/", json=body)
    assert (answer.status_code, error_pointers(answer)) == (422, {f"#/{name}"})


# Ids


def spellings(pk):
    return [str(pk), pk.hex, pk.hex.upper(), str(pk).upper()]


@pytest.mark.parametrize("spelling", range(4))
@pytest.mark.parametrize("name", ["storeId", "store_id"])
def test_the_id_of_a_store_needs_no_dashes(client, name, spelling):
    pk = make_store().pk
    body = {name: spellings(pk)[spelling], "name": "Salve", "price": 1}
    answer = client.post("/api/v1/products/", json=body)
    assert is_accepted(answer)
    assert answer.json["storeId"] == answer.json["store"]["storeId"] == str(pk)


@pytest.mark.parametrize("spelling", range(4))
@pytest.mark.parametrize("name", ["productId", "product_id"])
def test_the_id_of_a_product_needs_no_dashes(client, name, spelling):
    pk = make_product().pk
    items = [{name: spellings(pk)[spelling], "quantity": 1}]
    answer = client.post("/api/v1/orders/", json={"items": items})
    assert is_accepted(answer)
    assert answer.json["items"][0]["product"]["productId"] == str(pk)


def test_items_of_one_product_are_added_up_however_its_id_is_spelled(client):
    items = [{"productId": pk, "quantity": 1} for pk in spellings(make_product().pk)]
    answer = client.post("/api/v1/orders/", json={"items": items})
    assert [item["quantity"] for item in answer.json["items"]] == [4]


@pytest.mark.parametrize("spelling", range(4))
def test_the_id_of_an_ingredient_needs_no_dashes(client, spelling):
    pk = make_ingredient().pk
    body = {"name": "Draught", "ingredients": [spellings(pk)[spelling]]}
    answer = client.post("/api/v1/potions", json=body)
    assert is_accepted(answer)
    assert [row["pk"] for row in answer.json["ingredients"]] == [str(pk)]


def test_unknown_and_repeated_ingredients_are_refused_however_they_are_spelled(client):
    pk, unknown = make_ingredient().pk, uuid7()
    body = {"name": "Draught", "ingredients": [str(pk), pk.hex, unknown.hex]}
    answer = client.post("/api/v1/potions", json=body)
    assert answer.status_code == 422
    assert {(error["pointer"], error["code"]) for error in answer.json["errors"]} == {
        ("#/ingredients/1", "duplicate"),
        ("#/ingredients/2", "unknown-reference"),
    }


def test_errors_spell_ids_with_dashes(client):
    pk = uuid7()
    product = client.post(
        "/api/v1/products/", json={"storeId": pk.hex.upper(), "name": "Salve", "price": 1}
    )
    assert product.json["detail"] == f"Store with storeId = {pk} not found."
    items = [{"productId": pk.hex.upper(), "quantity": 1}]
    order = client.post("/api/v1/orders/", json={"items": items})
    assert order.json["detail"] == f"Product with productId = {pk} not found."


@pytest.mark.parametrize("sent", ["x", "0" * 31, "0" * 33, "g" * 32, 5, None, True, [], ""])
def test_what_is_no_id_in_a_body_is_refused(client, sent):
    body = {"storeId": sent, "name": "Salve", "price": 1}
    assert error_pointers(client.post("/api/v1/products/", json=body)) == {"#/storeId"}
    items = {"items": [{"productId": sent, "quantity": 1}]}
    assert error_pointers(client.post("/api/v1/orders/", json=items)) == {"#/items/0/productId"}
    recipe = {"name": "Draught", "ingredients": [sent]}
    assert error_pointers(client.post("/api/v1/potions", json=recipe)) == {"#/ingredients/0"}


QUERIES = [
    *(
        "id={}",
        "id={}&x=1&x=2",
        "id=x&id={}",
        "id=&id={}",
        "q=%E4&id={}",
        "id={}&%zz=1",
        "&&id={}&",
    ),
    *(f"{'a=1&' * 200}id={{}}", "x=1&x=2&id=%E4&id={}"),
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("spelling", range(4))
@pytest.mark.parametrize("slash", ["", "/"])
def test_the_last_id_of_a_query_counts_and_all_else_is_ignored(client, query, spelling, slash):
    pk = make_user().pk
    url = f"/api/v1/user/get-user{slash}?{query.format(spellings(pk)[spelling])}"
    answer = client.get(url)
    assert (answer.status_code, answer.json["id"]) == (200, pk.hex)
    assert client.head(url).status_code == 200


@pytest.mark.parametrize("query", ["", "id={}&id=x", "id={}&id=", "id=%E4", "ID={}", "id={}x"])
def test_a_query_whose_last_id_is_none_is_refused(client, query):
    answer = client.get(f"/api/v1/user/get-user?{query.format(make_user().pk)}")
    assert (answer.status_code, answer.json["errors"][0]["parameter"]) == (422, "id")


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("query", ["x=1&x=2", "q=%E4", "dry_run=true"])
def test_the_query_of_a_write_is_ignored(client, path, query):
    if path in BODIES:
        answer = client.post(f"{path}?{query}", json=BODIES[path]())
    else:
        make, body = CHANGES[path]
        answer = client.patch(f"{path.format(make().pk)}?{query}", json=body)
    assert is_accepted(answer)


@pytest.mark.parametrize("path", CHANGES)
def test_the_query_of_a_deletion_is_ignored(client, path):
    assert is_accepted(client.delete(f"{path.format(CHANGES[path][0]().pk)}?x=1&x=%E4"))


# Long lists


def test_an_order_may_have_more_than_100_items(client):
    store = make_store()
    pks = [str(make_product(store).pk) for _ in range(150)]
    body = {"items": [{"productId": pk, "quantity": 1} for pk in pks]}
    answer = client.post("/api/v1/orders/", json=body)
    assert is_accepted(answer)
    assert [item["product"]["productId"] for item in answer.json["items"]] == pks
    again = client.get(f"/api/v1/orders/{answer.json['orderId']}")
    assert again.json == answer.json


def test_a_product_may_be_on_thousands_of_items(client):
    item = {"productId": str(make_product(price=1).pk), "quantity": "1"}
    answer = client.post("/api/v1/orders/", json={"items": [item] * 5000})
    assert is_accepted(answer)
    assert answer.json["items"][0]["quantity"] == 5000


def test_a_potion_may_have_more_than_100_ingredients(client):
    pks = [str(make_ingredient().pk) for _ in range(150)]
    answer = client.post("/api/v1/potions", json={"name": "Draught", "ingredients": pks})
    assert is_accepted(answer)
    assert [row["pk"] for row in answer.json["ingredients"]] == pks


def test_of_many_invalid_items_the_first_are_reported(client):
    answer = client.post("/api/v1/orders/", json={"items": [0] * 20_000})
    assert (answer.status_code, len(answer.json["errors"])) == (422, 100)


# Addresses


@pytest.mark.parametrize("path", ["/api/v1/user/create-user", "/api/v1/stores/"])
@pytest.mark.parametrize(
    ("sent", "email"),
    [
        ("Kwik Mart <apu@example.com>", "apu@example.com"),
        ("<Apu@Example.com>", "apu@example.com"),
        ('"Kwik, Mart" < apu@example.com > ', "apu@example.com"),
        ("admin@localhost", "admin@localhost"),
        ("qa@shop.test", "qa@shop.test"),
        ("x@host.local", "x@host.local"),
        ("Ops <admin@localhost>", "admin@localhost"),
    ],
)
def test_an_address_may_have_a_display_name_and_be_of_a_network(client, path, sent, email):
    answer = client.post(path, json=BODIES[path]() | {"email": sent})
    assert is_accepted(answer)
    assert answer.json["email"] == email


@pytest.mark.parametrize("path", ["/api/v1/user/create-user", "/api/v1/stores/"])
@pytest.mark.parametrize(
    "sent",
    ["jdoe", "Kwik Mart <apu>", "Kwik Mart", "<>", "a@b@c", "<apu@example.com> x", "@x.test"],
)
def test_what_is_no_address_is_refused(client, path, sent):
    answer = client.post(path, json=BODIES[path]() | {"email": sent})
    assert (answer.status_code, error_pointers(answer)) == (422, {"#/email"})


@pytest.mark.parametrize(
    ("sent", "domain"),
    [
        ("https://münchen.de/x", "https://xn--mnchen-3ya.de/x"),
        ("https://MÜNCHEN.de:8080/ü?ö#ä", "https://xn--mnchen-3ya.de:8080/ü?ö#ä"),
        ("http://user:pw@münchen.de", "http://user:pw@xn--mnchen-3ya.de"),
        ("http://my_shop.example.com", "http://my_shop.example.com"),
        ("http://my_shop", "http://my_shop"),
        ("https://_a_.example.com/b_c", "https://_a_.example.com/b_c"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("https://Ladle.example", "https://Ladle.example"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_host_of_a_domain_is_answered_in_punycode(client, sent, domain, method):
    if method == "POST":
        answer = client.post("/api/v1/stores/", json=STORE | {"domain": sent})
        assert is_accepted(answer)
        assert answer.json["domain"] == domain
        return
    url = f"/api/v1/stores/{make_store().pk}"
    assert is_accepted(client.patch(url, json={"domain": sent}))
    assert client.get(url).json["domain"] == domain


@pytest.mark.parametrize(
    "sent",
    [
        *("ladle", "ftp://ladle.example", "http://", "http://a b", "http://-a.example", "//x", ""),
        *("http://a..example", f"http://{'ü' * 300}.example", f"http://{'ü' * 64}.example"),
    ],
)
def test_what_is_no_domain_is_refused(client, sent):
    answer = client.post("/api/v1/stores/", json=STORE | {"domain": sent})
    assert (answer.status_code, error_pointers(answer)) == (422, {"#/domain"})


# Conflicts


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_nickname_is_unique_and_the_conflict_says_that_this_is_new(client, method):
    make_hero(nickname="Thistle")
    url = "/api/v1/heroes" if method == "POST" else f"/api/v1/heroes/{make_hero().pk}"
    answer = client.open(url, method=method, json={"nickname": "Thistle"})
    assert answer.status_code == 409
    assert "no two heroes have the same nickname" in answer.json["detail"]
    [error] = answer.json["errors"]
    assert error["pointer"] == "#/nickname"
    assert '"Thistle"' in error["detail"]


# The strictness of version 2


def test_version_2_accepts_none_of_this(client):
    for body in ({"nickname": 5}, {"nickname": "a", "surprise": 1}):
        assert client.post("/api/v2/heroes", json=body).status_code == 422
    data = json.dumps({"nickname": "Thistle"})
    assert client.post("/api/v2/heroes", data=data).status_code == 415
    marked = b"\xef\xbb\xbf" + data.encode()
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/v2/heroes", data=marked, headers=headers).status_code == 400
    assert client.get(f"/api/v2/heroes/{UUID(int=1).hex}").status_code == 404
    assert client.get("/api/v2/heroes?x=1").status_code == 422


# The order of members


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("GET", "/api/v1/", ["name", "version", "description", "status"]),
        ("DELETE", "/api/v1/heroes/{}", ["status", "message"]),
        ("GET", "/api/v1/heroes/{}", ["uuid", "nickname", "role"]),
        (
            "GET",
            "/api/v1/nothing",
            ["type", "title", "status", "code", "detail", "request_id"],
        ),
    ],
)
def test_members_are_in_the_documented_order(client, method, path, names):
    answer = client.open(path.format(make_hero().pk), method=method)
    assert [name for name, _ in json.loads(answer.data, object_pairs_hook=list)] == names
