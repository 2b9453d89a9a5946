"""Stores over HTTP."""

from uuid import UUID

import pytest

from alchemist import database as db
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import CURRENCIES
from tests.answers import pointers_and_codes, read_all_pages
from tests.factories import make_product, make_store, make_user, reload

URL = "/api/v2/stores"
ANY = {"If-Match": "*"}
REQUIRED = {
    "name": "The Crooked Ladle",
    "street": "7 Tallow Lane",
    "zipcode": "1000",
    "city": "Brassel",
    "country": "Belgium",
    "currency": "EUR",
}
TEXT_FIELDS = ["name", "street", "zipcode", "city", "country"]
OPTIONAL = {
    "domain": "https://ladle.example",
    "phone": "+32 2 555 01 23",
    "email": "ladle@alchemist.example",
}


@pytest.fixture
def post(client_with_auth, owner_headers):
    """Return a function that creates a store over HTTP."""

    def call(headers=owner_headers, **values):
        return client_with_auth.post(URL, json=REQUIRED | values, headers=headers)

    return call


@pytest.fixture(params=["POST", "PATCH"])
def write(request, client_with_auth, post, owner, owner_headers):
    """Return a function that creates a store over HTTP, or one that updates a store."""

    def call(**values):
        if request.param == "POST":
            return post(**values)
        store = make_store(owner_id=owner.pk)
        return client_with_auth.patch(f"{URL}/{store.pk}", json=values, headers=owner_headers | ANY)

    return call


@pytest.fixture
def names(client_with_auth):
    """Return a function that returns the names of the stores in a list."""

    def call(**query):
        response = client_with_auth.get(URL, query_string=query)
        assert response.status_code == 200, response.text
        return [store["name"] for store in response.json]

    return call


def test_the_response_to_a_creation_has_every_field(post, owner):
    response = post()
    assert response.status_code == 201
    created = response.json
    assert list(created) == [
        *("pk", "name", "street", "zipcode", "city", "country", "currency"),
        *("domain", "phone", "email", "owner_id", "created_at", "updated_at"),
    ]
    assert {name: created[name] for name in REQUIRED} == REQUIRED
    assert {created[name] for name in OPTIONAL} == {None}


def test_a_new_store_is_public_at_its_location(client_with_auth, post):
    created = post(**OPTIONAL)
    fetched = client_with_auth.get(created.location)
    assert fetched.json == created.json
    assert fetched.headers["ETag"] == created.headers["ETag"]


def test_several_stores_may_have_the_same_name(post):
    assert {post().status_code for _ in range(2)} == {201}


# Fields


@pytest.mark.parametrize("field", TEXT_FIELDS)
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "not-nullable"),
        (5, "wrong-type"),
        ([], "wrong-type"),
        ("", "too-short"),
        ("\u3000\t", "too-short"),
        ("é" * 256, "too-long"),
    ],
)
def test_an_invalid_text_is_rejected(write, field, value, code):
    response = write(**{field: value})
    assert response.status_code == 422
    assert pointers_and_codes(response) == {(f"#/{field}", code)}


@pytest.mark.parametrize("field", TEXT_FIELDS)
@pytest.mark.parametrize("length", [1, 255])
def test_a_text_has_1_to_255_characters(write, field, length):
    assert write(**{field: "é" * length}).json[field] == "é" * length


@pytest.mark.parametrize("field", [*TEXT_FIELDS, "phone"])
def test_a_text_is_stored_trimmed_and_composed(write, field):
    assert write(**{field: " e\u0301 5\t"}).json[field] == "é 5"


def test_all_missing_fields_are_reported_together(client_with_auth, owner_headers):
    response = client_with_auth.post(URL, json={}, headers=owner_headers)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {(f"#/{field}", "required") for field in REQUIRED}


@pytest.mark.parametrize("currency", ["EUR", "USD", "JPY", "BHD", "CHF"])
def test_a_store_can_have_any_currency_of_iso_4217(write, currency):
    assert write(currency=currency).json["currency"] == currency


@pytest.mark.parametrize(
    ("currency", "code"),
    [
        ("eur", "not-one-of"),
        (" EUR", "not-one-of"),
        ("EU", "not-one-of"),
        ("EURO", "not-one-of"),
        ("ZZZ", "not-one-of"),
        ("XAU", "not-one-of"),
        ("XXX", "not-one-of"),
        ("XTS", "not-one-of"),
        ("DEM", "not-one-of"),
        ("978", "not-one-of"),
        ("", "not-one-of"),
        (None, "not-nullable"),
        (978, "wrong-type"),
        (["EUR"], "wrong-type"),
    ],
)
def test_an_invalid_currency_is_rejected(write, currency, code):
    response = write(currency=currency)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/currency", code)}


def test_metals_and_test_codes_are_no_currencies():
    assert len(CURRENCIES) > 150
    assert {"EUR", "USD", "JPY", "GBP", "ZWG"} <= set(CURRENCIES)
    assert not {"XAU", "XDR", "XXX", "XTS"} & set(CURRENCIES)


@pytest.mark.parametrize(
    "domain",
    [
        "https://ladle.example",
        "http://ladle.example:8080/menu?of=day#top",
        "http://localhost",
        "http://127.0.0.1/",
    ],
)
def test_a_domain_is_an_http_url(write, domain):
    assert write(domain=domain).json["domain"] == domain


@pytest.mark.parametrize(
    "domain",
    [
        "ladle.example",
        "//ladle.example",
        "ftp://ladle.example",
        "javascript:alert(1)",
        "https://",
        "https://la dle.example",
        "",
        5,
    ],
)
def test_a_domain_that_is_no_http_url_is_rejected(write, domain):
    response = write(domain=domain)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/domain", "wrong-type")}


def test_a_domain_has_at_most_255_characters(write):
    long = "https://ladle.example/".ljust(255, "a")
    assert write(domain=long).json["domain"] == long
    assert pointers_and_codes(write(domain=f"{long}a")) == {("#/domain", "too-long")}


def test_a_phone_has_at_most_64_characters(write):
    assert write(phone="5" * 64).json["phone"] == "5" * 64
    assert pointers_and_codes(write(phone="5" * 65)) == {("#/phone", "too-long")}


def test_an_email_is_stored_in_lower_case(write):
    assert write(email=" Ladle@Alchemist.Example").json["email"] == "ladle@alchemist.example"


@pytest.mark.parametrize("email", ["ladle", "ladle@", "a b@alchemist.example"])
def test_an_invalid_email_is_rejected(write, email):
    response = write(email=email)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/email", "wrong-type")}


def test_several_stores_may_have_the_same_email(post):
    assert {post(**OPTIONAL).status_code for _ in range(2)} == {201}


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_clears_an_optional_field(client_with_auth, owner, owner_headers, field):
    url = f"{URL}/{make_store(owner_id=owner.pk, **OPTIONAL).pk}"
    changed = client_with_auth.patch(url, json={field: None}, headers=owner_headers | ANY)
    assert changed.status_code == 200
    assert {name: changed.json[name] for name in OPTIONAL} == OPTIONAL | {field: None}


def test_a_field_that_is_absent_from_a_patch_is_unchanged(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk, **OPTIONAL).pk}"
    before = client_with_auth.get(url).json
    changed = client_with_auth.patch(
        url, json={"name": "Changed"}, headers=owner_headers | ANY
    ).json
    assert changed["updated_at"] > before["updated_at"]
    assert changed == before | {"name": "Changed", "updated_at": changed["updated_at"]}


def test_all_errors_of_a_store_are_reported_together(write):
    response = write(
        name=" ",
        street=5,
        zipcode=None,
        city="a" * 256,
        country="",
        currency="EURO",
        domain="ladle",
        phone="5" * 65,
        email="ladle",
        owner_id="me",
        motto="Hot",
        created_at="2026-11-20T07:15:00.000000+00:00",
    )
    assert response.status_code == 422
    assert pointers_and_codes(response) == {
        ("#/name", "too-short"),
        ("#/street", "wrong-type"),
        ("#/zipcode", "not-nullable"),
        ("#/city", "too-long"),
        ("#/country", "too-short"),
        ("#/currency", "not-one-of"),
        ("#/domain", "wrong-type"),
        ("#/phone", "too-long"),
        ("#/email", "wrong-type"),
        ("#/owner_id", "wrong-type"),
        ("#/motto", "unknown-field"),
        ("#/created_at", "read-only"),
    }


def test_a_representation_can_be_sent_back_unchanged(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk, **OPTIONAL).pk}"
    fetched = client_with_auth.get(url)
    headers = owner_headers | {"If-Match": fetched.headers["ETag"]}
    response = client_with_auth.patch(url, json=fetched.json, headers=headers)
    assert (response.status_code, response.json) == (200, fetched.json)


@pytest.mark.parametrize("field", ["pk", "created_at", "updated_at"])
def test_a_read_only_field_cannot_be_changed(client_with_auth, owner, owner_headers, field):
    store = make_store(owner_id=owner.pk)
    before = client_with_auth.get(f"{URL}/{store.pk}").json
    body = {field: str(UUID(int=0)), "name": "Changed"}
    response = client_with_auth.patch(f"{URL}/{store.pk}", json=body, headers=owner_headers | ANY)
    assert pointers_and_codes(response) == {(f"#/{field}", "read-only")}
    assert client_with_auth.get(f"{URL}/{store.pk}").json == before


# Lists


@pytest.mark.parametrize("field", ["city", "country", "currency"])
def test_filters_find_stores_by_city_country_and_currency(names, field):
    value = {"city": "Gent", "country": "France", "currency": "CHF"}[field]
    make_store(name="The Ladle", **{field: value})
    make_store()
    assert names(**{field: value}) == ["The Ladle"]


def test_the_city_filter_matches_exactly(names):
    make_store(city="Gent")
    assert names(city="Gen") == names(city="gent") == []


def test_the_owner_filter_finds_stores_of_that_user(names, owner):
    make_store(name="The Ladle", owner_id=owner.pk)
    make_store(owner_id=make_user().pk)
    make_store()
    assert names(owner_id=str(owner.pk)) == ["The Ladle"]


@pytest.mark.parametrize("q", ["crooked", "LADLE crooked", "tallow", "brassel ladle 7"])
def test_q_finds_words_of_name_street_and_city_in_any_order_and_case(names, q):
    make_store(name="The Crooked Ladle", street="7 Tallow Lane", city="Brassel")
    make_store(name="The Straight Spoon", street="8 Wax Road", city="Gent")
    assert names(q=q) == ["The Crooked Ladle"]


@pytest.mark.parametrize("q", ["crook", "belgium", "crooked spoon"])
def test_q_needs_all_words_and_matches_whole_words(names, q):
    make_store(name="The Crooked Ladle")
    assert names(q=q) == []


def test_filters_are_combined_with_and(names, owner):
    make_store(name="The Ladle", city="Gent", currency="CHF", owner_id=owner.pk)
    make_store(name="The Ladle", city="Gent", currency="CHF")
    make_store(name="The Ladle", city="Gent", owner_id=owner.pk)
    query = {"q": "ladle", "city": "Gent", "currency": "CHF", "owner_id": str(owner.pk)}
    assert names(**query) == ["The Ladle"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("currency=eur", "currency"),
        ("currency=", "currency"),
        ("owner_id=x", "owner_id"),
        ("owner_id=", "owner_id"),
        ("q=", "q"),
        ("name=Ladle", "name"),
        ("zipcode=1000", "zipcode"),
        ("city=Gent&city=Brassel", "city"),
        ("sort=city", "sort"),
        ("sort=currency", "sort"),
        ("sort=owner_id", "sort"),
    ],
)
def test_an_invalid_filter_or_sort_is_an_error_with_its_parameter(
    client_with_auth, query, parameter
):
    response = client_with_auth.get(f"{URL}?{query}")
    assert response.status_code == 422
    assert {entry["parameter"] for entry in response.json["errors"]} == {parameter}


@pytest.mark.parametrize("sort", ["name", "-name", "created_at", "-created_at", "-pk"])
def test_every_page_of_a_sorted_list_can_be_followed(client_with_auth, sort):
    names = sorted(make_store(name=name, city="Gent").name for name in "cabed")
    rows = read_all_pages(client_with_auth, f"{URL}?city=Gent&limit=2&sort={sort}")
    listed = [store["name"] for store in rows]
    assert sorted(listed) == names
    if "name" in sort:
        assert listed == (names[::-1] if sort.startswith("-") else names)


def test_a_list_costs_one_statement(client_with_auth, statements):
    make_store(owner_id=make_user().pk)
    client_with_auth.get(URL)
    with statements() as executed:
        assert client_with_auth.get(URL).status_code == 200
    assert len(executed) == 1


# If-Match


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changes_and_deletions_need_if_match(client_with_auth, owner, owner_headers, method):
    store = make_store(owner_id=owner.pk)
    response = client_with_auth.open(
        f"{URL}/{store.pk}", method=method, json={}, headers=owner_headers
    )
    assert response.status_code == 428
    assert reload(store) is not None


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_gets_a_412_with_the_current_store(
    client_with_auth, owner, owner_headers, method
):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    stale_etag = client_with_auth.get(url).headers["ETag"]
    changed = client_with_auth.patch(
        url, json={"currency": "CHF"}, headers=owner_headers | {"If-Match": stale_etag}
    )
    assert changed.status_code == 200
    headers = owner_headers | {"If-Match": stale_etag}
    response = client_with_auth.open(url, method=method, json={"name": "Lost"}, headers=headers)
    assert response.status_code == 412
    assert response.json["current"] == changed.json
    assert response.headers["ETag"] == changed.headers["ETag"]


def test_a_412_precedes_a_422(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    headers = owner_headers | {"If-Match": '"stale"'}
    assert (
        client_with_auth.patch(url, json={"currency": "EURO"}, headers=headers).status_code == 412
    )


def test_a_matching_if_none_match_gets_a_304(client_with_auth):
    url = f"{URL}/{make_store().pk}"
    etag = client_with_auth.get(url).headers["ETag"]
    response = client_with_auth.get(url, headers={"If-None-Match": f"W/{etag}"})
    assert (response.status_code, response.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize("pk", ["0", "x", UUID(int=0).hex, "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_store_is_404(client_with_auth, owner_headers, method, pk):
    response = client_with_auth.open(
        f"{URL}/{pk}", method=method, json={}, headers=owner_headers | ANY
    )
    assert response.status_code == 404


# Deletion and repeated requests


def test_deleting_a_store_with_products_is_a_conflict_that_names_them(
    client_with_auth, owner, owner_headers
):
    store = make_store(owner_id=owner.pk)
    products = {str(make_product(store).pk) for _ in range(2)}
    response = client_with_auth.delete(f"{URL}/{store.pk}", headers=owner_headers | ANY)
    assert (response.status_code, response.json["code"]) == (409, "in-use")
    details = [entry["detail"] for entry in response.json["errors"]]
    assert sorted(details) == sorted(f"Product {pk} is sold there." for pk in products)
    assert reload(store) is not None


def test_a_store_without_products_can_be_deleted(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    response = client_with_auth.delete(url, headers=owner_headers | ANY)
    assert (response.status_code, response.data) == (204, b"")
    assert client_with_auth.get(url).status_code == 404


def test_deleting_a_user_with_a_store_is_a_conflict_that_names_it(client_with_auth, owner, admin):
    store = make_store(owner_id=owner.pk)
    response = client_with_auth.delete(f"/api/v2/users/{owner.pk}", headers=admin | ANY)
    assert (response.status_code, response.json["code"]) == (409, "in-use")
    assert [entry["detail"] for entry in response.json["errors"]] == [
        f"Store {store.pk} belongs to the user."
    ]


def test_a_repeated_creation_creates_one_store(post, owner_headers):
    original, repeated = (post(owner_headers | {"Idempotency-Key": "one"}) for _ in range(2))
    assert repeated.data == original.data
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert db.session.query(Store).count() == 1
