"""Users over HTTP."""

from uuid import UUID

import pytest

from alchemist.domains.users import schemas
from alchemist.domains.users.permissions import ADMIN
from tests.answers import error_pointers, pointers_and_codes
from tests.factories import make_user, sign_in

URL = "/api/v2/users"
ANY = {"If-Match": "*"}
FIELDS = {"pk", "email", "full_name", "role", "suspended_at", "created_at", "updated_at"}
ADMIN_WITHOUT_AUDIT = sorted(ADMIN - {"audit:read"})


def test_the_response_to_a_creation_has_every_field(create_user):
    response = create_user()
    assert response.status_code == 201
    assert set(response.json) == FIELDS
    assert response.location == f"{URL}/{response.json['pk']}"


def test_a_new_user_is_a_customer_by_default(create_user):
    assert create_user().json["role"] == "customer"


@pytest.mark.parametrize("role", ["customer", "merchant", "admin"])
def test_an_admin_grants_every_role(create_user, role):
    assert create_user(role=role).json["role"] == role


NORMALISED_EMAILS = {
    "Ada@Alchemist.Example": "ada@alchemist.example",
    "  ada@alchemist.example\t": "ada@alchemist.example",
    "ADA+tag@alchemist.example": "ada+tag@alchemist.example",
    "ada@BÜCHER.example": "ada@bücher.example",
    "ada@xn--bcher-kva.example": "ada@bücher.example",
    "ÄDA@alchemist.example": "äda@alchemist.example",
    "a\u0308da@alchemist.example": "äda@alchemist.example",
    "admin@LocalHost": "admin@localhost",
    "qa@shop.test": "qa@shop.test",
    "x@host.local": "x@host.local",
}


@pytest.mark.parametrize("sent", NORMALISED_EMAILS)
def test_an_email_is_stored_normalised_and_in_lower_case(create_user, sent):
    response = create_user(email=sent)
    assert response.status_code == 201, response.text
    assert response.json["email"] == NORMALISED_EMAILS[sent]


INVALID_EMAILS = [
    "jdoe",
    "ada@alchemist.invalid",
    "ada@",
    "@alchemist.example",
    "ada@@alchemist.example",
    "ada@alchemist",
    "ada@-alchemist.example",
    "ada@alchemist..example",
    ".ada@alchemist.example",
    "a da@alchemist.example",
    "ada@alche mist.example",
    "Ada <ada@alchemist.example>",
    "ada@[127.0.0.1]",
    "ada@alchemist.example\nbcc: all@alchemist.example",
    "{reason}@",
]


@pytest.mark.parametrize("email", INVALID_EMAILS)
def test_an_invalid_email_is_an_error_with_its_pointer(create_user, email):
    response = create_user(email=email)
    assert response.status_code == 422
    assert ("#/email", "wrong-type") in pointers_and_codes(response)


def test_a_text_far_too_long_for_an_email_is_never_parsed(create_user, monkeypatch):
    parsed = []
    monkeypatch.setattr(schemas, "validate_email", lambda text, **_: parsed.append(text))
    response = create_user(email=f"{'a' * 1000}@alchemist.example")
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/email", "too-long")}
    assert parsed == []


@pytest.mark.parametrize("email", [None, 5, "", "   ", [], {}, True])
def test_an_email_of_another_type_is_an_error_with_its_pointer(create_user, email):
    response = create_user(email=email)
    assert response.status_code == 422
    assert error_pointers(response) == {"#/email"}


LONG_EMAILS = [f"ada@{'.'.join(['a' * 60] * 5)}.example", f"{'a' * 300}@a.example"]


@pytest.mark.parametrize("email", [*LONG_EMAILS, f"{'İ' * 130}@alchemist.example"])
def test_an_email_of_more_than_254_characters_in_lower_case_is_an_error(create_user, email):
    response = create_user(email=email)
    assert response.status_code == 422
    assert error_pointers(response) == {"#/email"}


def test_all_errors_of_a_user_are_reported_together(create_user):
    response = create_user(email="ada", full_name=" ", role="king", nickname="Addy")
    assert pointers_and_codes(response) == {
        ("#/email", "wrong-type"),
        ("#/full_name", "too-short"),
        ("#/role", "not-one-of"),
        ("#/nickname", "unknown-field"),
    }


@pytest.mark.parametrize("length", [1, 255])
def test_a_full_name_has_1_to_255_characters(create_user, length):
    assert create_user(full_name="é" * length).json["full_name"] == "é" * length


def test_a_full_name_of_256_characters_is_too_long(create_user):
    assert pointers_and_codes(create_user(full_name="a" * 256)) == {("#/full_name", "too-long")}


@pytest.mark.parametrize(
    "email", ["ada@alchemist.example", "ADA@alchemist.EXAMPLE", " ada@alchemist.example "]
)
def test_an_email_in_use_is_a_conflict_in_any_case(create_user, email):
    assert create_user().status_code == 201
    response = create_user(email=email)
    assert response.status_code == 409
    assert pointers_and_codes(response) == {("#/email", "already-exists")}


def test_a_conflict_names_the_email(create_user):
    create_user()
    assert "ada@alchemist.example" in create_user().json["detail"]


def test_a_conflict_names_an_international_email_in_unicode(create_user):
    create_user(email="ada@bücher.example")
    assert "bücher" in create_user(email="ada@bücher.example").json["detail"]


def test_emails_are_compared_after_lower_case_and_composition(create_user):
    assert create_user(email="J\u030csp@alchemist.example").status_code == 201
    assert create_user(email="\u01f0sp@alchemist.example").status_code == 409


@pytest.mark.parametrize(
    ("taken", "email"),
    [
        ("χρονος@alchemist.example", "ΧΡΟΝΟΣ@alchemist.example"),
        ("straße@alchemist.example", "STRASSE@alchemist.example"),
    ],
)
def test_emails_are_compared_by_full_case_folding(create_user, update_user, taken, email):
    assert create_user(email=taken).status_code == 201
    response = create_user(email=email)
    assert (response.status_code, pointers_and_codes(response)) == (
        409,
        {("#/email", "already-exists")},
    )
    assert email in response.json["detail"]
    assert update_user(make_user(), email=email).status_code == 409


def test_a_change_to_an_email_in_use_is_a_conflict(update_user):
    make_user(email="ada@alchemist.example")
    response = update_user(make_user(), email="ADA@alchemist.example")
    assert response.status_code == 409
    assert pointers_and_codes(response) == {("#/email", "already-exists")}


def test_an_email_sent_back_in_capitals_is_unchanged(update_user):
    user = make_user(email="ada@alchemist.example")
    assert update_user(user, email="ADA@alchemist.example").json["email"] == "ada@alchemist.example"


@pytest.mark.parametrize("field", ["email", "full_name", "role"])
def test_no_field_of_a_user_can_be_null(update_user, field):
    response = update_user(make_user(), **{field: None})
    assert response.status_code == 422
    assert pointers_and_codes(response) == {(f"#/{field}", "not-nullable")}


def test_a_representation_can_be_sent_back_unchanged(client_with_auth, admin):
    url = f"{URL}/{make_user().pk}"
    got = client_with_auth.get(url, headers=admin)
    response = client_with_auth.patch(
        url, json=got.json, headers=admin | {"If-Match": got.headers["ETag"]}
    )
    assert response.status_code == 200
    assert response.json == got.json


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changes_and_deletions_need_if_match(client_with_auth, admin, method):
    url = f"{URL}/{make_user().pk}"
    response = client_with_auth.open(url, method=method, json={}, headers=admin)
    assert response.status_code == 428


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_gets_a_412_with_the_current_user(
    client_with_auth, admin, update_user, method
):
    user = make_user()
    url = f"{URL}/{user.pk}"
    stale_etag = client_with_auth.get(url, headers=admin).headers["ETag"]
    changed = update_user(user, full_name="Changed")
    headers = admin | {"If-Match": stale_etag}
    response = client_with_auth.open(
        url, method=method, json={"full_name": "Lost"}, headers=headers
    )
    assert response.status_code == 412
    assert response.json["current"] == changed.json
    assert response.headers["ETag"] == changed.headers["ETag"]


@pytest.mark.parametrize(
    "pk", ["0", "x", f"{UUID(int=0)}0", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"]
)
def test_a_missing_user_is_404(client_with_auth, admin, pk):
    assert client_with_auth.get(f"{URL}/{pk}", headers=admin).status_code == 404


# Idempotency keys


def test_a_repeated_creation_gets_the_same_response(create_user, admin):
    headers = admin | {"Idempotency-Key": "one"}
    original, repeated = create_user(headers), create_user(headers)
    assert repeated.data == original.data
    assert repeated.headers["Idempotent-Replayed"] == "true"


def test_idempotency_keys_are_private_to_the_caller(create_user):
    responses = [
        create_user(sign_in(make_user(role="admin")) | {"Idempotency-Key": "one"}, email=email)
        for email in ("ada@alchemist.example", "bea@alchemist.example")
    ]
    assert [response.status_code for response in responses] == [201, 201]
    assert responses[0].json["pk"] != responses[1].json["pk"]


def test_without_the_permission_no_stored_response_is_returned(create_user):
    user = make_user(role="admin")
    headers = {"Idempotency-Key": "one"}
    assert create_user(sign_in(user) | headers).status_code == 201
    assert create_user(sign_in(user, "me:read") | headers).status_code == 403
