"""The fields of stores: which values are accepted, in POST and PATCH."""

import pytest

from alchemist.domains.stores.currencies import CURRENCIES
from tests.answers import pointers_and_codes
from tests.factories import make_store

URL = "/api/v2/stores"
ANY = {"If-Match": "*"}


TEXT_FIELDS = ["name", "street", "zipcode", "city", "country"]


@pytest.fixture(params=["POST", "PATCH"])
def write(request, client_with_auth, create_store, owner, owner_headers):
    """Return a function that creates a store over HTTP, or one that updates a store."""

    def call(**values):
        if request.param == "POST":
            return create_store(**values)
        store = make_store(owner_id=owner.pk)
        return client_with_auth.patch(f"{URL}/{store.pk}", json=values, headers=owner_headers | ANY)

    return call


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
        "https://bücher.example/größe?ü=1",
        "https://ladle.example/%7Emenu?q=100%25",
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
        "https://ladle.example/%zz",
        "https://ladle.example/?q=100%",
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


def test_several_stores_may_have_the_same_email(create_store):
    assert {create_store(email="ladle@alchemist.example").status_code for _ in range(2)} == {201}


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
