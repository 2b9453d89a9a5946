"""Users over HTTP."""

import re
from uuid import UUID

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.users.models import User
from alchemist.domains.users.permissions import ADMIN, CUSTOMER
from tests.answers import error_pointers, pointers_and_codes
from tests.factories import bearer, make_hero, make_token, make_user, sign_in

URL = "/api/v2/users"
ANY = {"If-Match": "*"}
ADMIN_WITHOUT_AUDIT = sorted(ADMIN - {"audit:read"})


@pytest.fixture
def post(client_with_auth, admin):
    """Return a function that creates a user over HTTP."""

    def call(headers=admin, **values):
        body = {"email": "ada@alchemist.example", "full_name": "Ada Ingram"} | values
        return client_with_auth.post(URL, json=body, headers=headers)

    return call


@pytest.fixture
def patch(client_with_auth, admin):
    """Return a function that changes a user over HTTP."""

    def call(user, headers=admin, **changes):
        return client_with_auth.patch(f"{URL}/{user.pk}", json=changes, headers=headers | ANY)

    return call


@pytest.fixture
def emails(client_with_auth, admin):
    """Return a function that returns the e-mails of the users in a list."""

    def call(**query):
        response = client_with_auth.get(URL, query_string=query, headers=admin)
        assert response.status_code == 200, response.text
        return [user["email"] for user in response.json]

    return call


def stored_user(user):
    db.session.rollback()
    return db.session.get(User, user.pk, populate_existing=True)


def test_the_response_to_a_creation_has_every_field(post):
    response = post()
    assert response.status_code == 201
    assert set(response.json) == {"pk", "email", "full_name", "role", "created_at", "updated_at"}
    assert response.location == f"{URL}/{response.json['pk']}"


def test_a_new_user_is_a_customer_by_default(post):
    assert post().json["role"] == "customer"


@pytest.mark.parametrize("role", ["customer", "merchant", "admin"])
def test_an_admin_grants_every_role(post, role):
    assert post(role=role).json["role"] == role


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
def test_an_email_is_stored_normalised_and_in_lower_case(post, sent):
    response = post(email=sent)
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
def test_an_invalid_email_is_an_error_with_its_pointer(post, email):
    response = post(email=email)
    assert response.status_code == 422
    assert ("#/email", "wrong-type") in pointers_and_codes(response)


@pytest.mark.parametrize("email", [None, 5, "", "   ", [], {}, True])
def test_an_email_of_another_type_is_an_error_with_its_pointer(post, email):
    response = post(email=email)
    assert response.status_code == 422
    assert error_pointers(response) == {"#/email"}


LONG_EMAILS = [f"ada@{'.'.join(['a' * 60] * 5)}.example", f"{'a' * 300}@a.example"]


@pytest.mark.parametrize("email", [*LONG_EMAILS, f"{'İ' * 130}@alchemist.example"])
def test_an_email_of_more_than_254_characters_in_lower_case_is_an_error(post, email):
    response = post(email=email)
    assert response.status_code == 422
    assert error_pointers(response) == {"#/email"}


def test_all_errors_of_a_user_are_reported_together(post):
    response = post(email="ada", full_name=" ", role="king", nickname="Addy")
    assert pointers_and_codes(response) == {
        ("#/email", "wrong-type"),
        ("#/full_name", "too-short"),
        ("#/role", "not-one-of"),
        ("#/nickname", "unknown-field"),
    }


@pytest.mark.parametrize("length", [1, 255])
def test_a_full_name_has_1_to_255_characters(post, length):
    assert post(full_name="é" * length).json["full_name"] == "é" * length


def test_a_full_name_of_256_characters_is_too_long(post):
    assert pointers_and_codes(post(full_name="a" * 256)) == {("#/full_name", "too-long")}


@pytest.mark.parametrize(
    "email", ["ada@alchemist.example", "ADA@alchemist.EXAMPLE", " ada@alchemist.example "]
)
def test_an_email_in_use_is_a_conflict_in_any_case(post, email):
    assert post().status_code == 201
    response = post(email=email)
    assert response.status_code == 409
    assert pointers_and_codes(response) == {("#/email", "already-exists")}


def test_a_conflict_names_the_email(post):
    post()
    assert "ada@alchemist.example" in post().json["detail"]


def test_a_conflict_names_an_international_email_in_unicode(post):
    post(email="ada@bücher.example")
    assert "bücher" in post(email="ada@bücher.example").json["detail"]


def test_emails_are_compared_after_lower_case_and_composition(post):
    assert post(email="J\u030csp@alchemist.example").status_code == 201
    assert post(email="\u01f0sp@alchemist.example").status_code == 409


def test_a_change_to_an_email_in_use_is_a_conflict(patch):
    make_user(email="ada@alchemist.example")
    response = patch(make_user(), email="ADA@alchemist.example")
    assert response.status_code == 409
    assert pointers_and_codes(response) == {("#/email", "already-exists")}


def test_an_email_sent_back_in_capitals_is_unchanged(patch):
    user = make_user(email="ada@alchemist.example")
    assert patch(user, email="ADA@alchemist.example").json["email"] == "ada@alchemist.example"


@pytest.mark.parametrize("field", ["email", "full_name", "role"])
def test_no_field_of_a_user_can_be_null(patch, field):
    response = patch(make_user(), **{field: None})
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


@pytest.mark.parametrize("email", ["ada@alchemist.example", "ADA@Alchemist.Example"])
def test_the_email_filter_ignores_case(emails, email):
    make_user(email="ada@alchemist.example")
    make_user(email="ada@alchemist.example.example")
    assert emails(email=email) == ["ada@alchemist.example"]


def test_the_email_filter_accepts_a_domain_in_punycode(emails):
    make_user(email="ada@bücher.example")
    assert emails(email="ada@xn--bcher-kva.example") == ["ada@bücher.example"]


def test_an_invalid_email_filter_is_an_error_with_its_parameter(client_with_auth, admin):
    response = client_with_auth.get(f"{URL}?email=ada", headers=admin)
    assert response.status_code == 422
    assert response.json["errors"][0]["parameter"] == "email"


@pytest.mark.parametrize("q", ["ingram", "INGRAM ada", "ada@alchemist.example"])
def test_q_finds_words_of_name_and_email_in_any_order_and_case(emails, q):
    make_user(email="ada@alchemist.example", full_name="Ada Ingram")
    make_user(email="bea@alchemist.example", full_name="Bea Ingrams")
    assert emails(q=q) == ["ada@alchemist.example"]


def test_the_role_filter_finds_users_with_that_role(emails):
    make_user(email="ada@alchemist.example", role="merchant")
    make_user()
    assert emails(role="merchant") == ["ada@alchemist.example"]


@pytest.mark.parametrize(
    "query", ["role=king", "role=", "full_name=Ada", "email=a@b.example&email=c@d.example"]
)
def test_an_invalid_filter_is_rejected(client_with_auth, admin, query):
    assert client_with_auth.get(f"{URL}?{query}", headers=admin).status_code == 422


def test_users_are_sorted_by_email(emails):
    for name in ("bea", "ada", "cy"):
        make_user(email=f"{name}@alchemist.example", role="merchant")
    found = emails(role="merchant", sort="-email")
    assert [email.split("@")[0] for email in found] == ["cy", "bea", "ada"]


@pytest.mark.parametrize("sort", ["pk", "-pk", "created_at", "-created_at", "email,-pk"])
def test_every_page_of_a_sorted_list_can_be_followed(client_with_auth, admin, sort):
    wanted = {make_user(role="merchant").email for _ in range(5)}
    url, seen = f"{URL}?role=merchant&limit=2&sort={sort}", []
    while url:
        response = client_with_auth.get(url, headers=admin)
        seen += [user["email"] for user in response.json]
        following = re.search('<([^>]+)>; rel="next"', response.headers["Link"])
        url = following and following[1]
    assert len(seen) == 5
    assert set(seen) == wanted


@pytest.mark.parametrize("sort", ["full_name", "role", "version"])
def test_an_undocumented_sort_key_is_rejected(client_with_auth, admin, sort):
    assert client_with_auth.get(f"{URL}?sort={sort}", headers=admin).status_code == 422


def test_a_list_costs_one_statement_once_the_token_is_cached(client_with_auth, admin, statements):
    client_with_auth.get(URL, headers=admin)
    with statements() as executed:
        assert client_with_auth.get(URL, headers=admin).status_code == 200
    assert len(executed) == 1


def test_without_the_permission_for_any_the_list_has_only_the_caller(client_with_auth):
    user = make_user()
    make_user()
    response = client_with_auth.get(URL, query_string={"count": "exact"}, headers=sign_in(user))
    assert [found["pk"] for found in response.json] == [str(user.pk)]
    assert response.headers["X-Total-Count"] == "1"


def test_filters_do_not_reveal_other_users(client_with_auth):
    other = make_user(email="ada@alchemist.example")
    user_headers = sign_in(make_user())
    for query in (f"email={other.email}", "q=ada@alchemist.example", "role=admin"):
        assert client_with_auth.get(f"{URL}?{query}", headers=user_headers).json == []


# Roles


@pytest.mark.parametrize("role", ["merchant", "admin"])
@pytest.mark.parametrize("current", ["customer", "merchant"])
def test_a_user_cannot_change_their_own_role(patch, current, role):
    user = make_user(role=current)
    response = patch(user, sign_in(user), role=role)
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "users:write"
    assert stored_user(user).role == current


def test_creating_a_role_needs_all_of_its_permissions(post):
    scoped = sign_in(make_user(role="admin"), *ADMIN_WITHOUT_AUDIT)
    response = post(scoped, role="admin")
    assert response.status_code == 403
    assert response.json["errors"] == [
        {
            "code": "forbidden",
            "detail": "This needs the permission audit:read.",
            "permission": "audit:read",
        }
    ]
    assert db.session.query(User).filter_by(email="ada@alchemist.example").count() == 0


def test_granting_a_role_needs_all_of_its_permissions(patch):
    user = make_user(full_name="Ada")
    scoped = sign_in(make_user(role="admin"), *ADMIN_WITHOUT_AUDIT)
    response = patch(user, scoped, role="admin", full_name="Changed")
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "audit:read"
    assert (stored_user(user).role, stored_user(user).full_name) == ("customer", "Ada")


def test_a_scoped_admin_can_create_customers(post):
    scoped = sign_in(make_user(role="admin"), *ADMIN_WITHOUT_AUDIT)
    assert post(scoped).status_code == 201


def test_the_permission_to_write_users_is_not_enough_for_a_customer(post):
    response = post(sign_in(make_user(role="admin"), "users:write"))
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] in CUSTOMER


def test_a_creator_who_may_not_read_users_gets_no_404(post):
    """A token with `users:write` and all permissions of a customer, without `users:read:any`."""
    response = post(sign_in(make_user(role="admin"), "users:write", *sorted(CUSTOMER)))
    assert response.status_code in (201, 403), response.text


def test_an_admin_is_demoted(patch):
    user = make_user(role="admin")
    assert patch(user, role="customer").json["role"] == "customer"


# Deletion


def test_deleting_a_user_with_heroes_is_a_conflict_that_names_them(client_with_auth, admin):
    user = make_user()
    heroes = {make_hero(user_id=user.pk).pk for _ in range(2)}
    response = client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert response.status_code == 409
    assert response.json["code"] == "in-use"
    details = " ".join(entry["detail"] for entry in response.json["errors"])
    assert all(str(hero) in details for hero in heroes)
    assert stored_user(user) is not None


def test_a_rejected_deletion_revokes_no_token(client_with_auth, admin):
    user = make_user()
    make_hero(user_id=user.pk)
    user_headers = sign_in(user)
    client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert client_with_auth.get("/api/v2/me", headers=user_headers).status_code == 200


def test_deleting_a_user_deletes_all_their_tokens(client_with_auth, admin):
    user = make_user()
    secret = make_token(user)
    assert client_with_auth.get("/api/v2/me", headers=bearer(secret)).status_code == 200
    response = client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert (response.status_code, response.data) == (204, b"")
    assert client_with_auth.get(f"{URL}/{user.pk}", headers=admin).status_code == 404
    assert client_with_auth.get("/api/v2/me", headers=bearer(secret)).status_code == 401
    count = "SELECT count(*) FROM tokens WHERE user_id = :pk"
    assert db.session.scalar(text(count), {"pk": user.pk}) == 0


def test_the_email_of_a_deleted_user_can_be_used_again(client_with_auth, admin, post):
    user = make_user(email="ada@alchemist.example")
    client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert post().status_code == 201


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changes_and_deletions_need_if_match(client_with_auth, admin, method):
    url = f"{URL}/{make_user().pk}"
    response = client_with_auth.open(url, method=method, json={}, headers=admin)
    assert response.status_code == 428


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_gets_a_412_with_the_current_user(client_with_auth, admin, patch, method):
    user = make_user()
    url = f"{URL}/{user.pk}"
    stale_etag = client_with_auth.get(url, headers=admin).headers["ETag"]
    changed = patch(user, full_name="Changed")
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


def test_a_repeated_creation_gets_the_same_response(post, admin):
    headers = admin | {"Idempotency-Key": "one"}
    original, repeated = post(headers), post(headers)
    assert repeated.data == original.data
    assert repeated.headers["Idempotent-Replayed"] == "true"


def test_idempotency_keys_are_private_to_the_caller(post):
    responses = [
        post(sign_in(make_user(role="admin")) | {"Idempotency-Key": "one"}, email=email)
        for email in ("ada@alchemist.example", "bea@alchemist.example")
    ]
    assert [response.status_code for response in responses] == [201, 201]
    assert responses[0].json["pk"] != responses[1].json["pk"]


def test_without_the_permission_no_stored_response_is_returned(post):
    user = make_user(role="admin")
    headers = {"Idempotency-Key": "one"}
    assert post(sign_in(user) | headers).status_code == 201
    assert post(sign_in(user, "me:read") | headers).status_code == 403


# Me


def test_me_has_the_caller_and_all_permissions_of_the_role(client_with_auth):
    user = make_user()
    user_headers = sign_in(user)
    response = client_with_auth.get("/api/v2/me", headers=user_headers)
    assert response.json == {
        "user": client_with_auth.get(f"{URL}/{user.pk}", headers=user_headers).json,
        "permissions": sorted(CUSTOMER),
    }


def test_me_has_only_the_permissions_of_a_scoped_token(client_with_auth):
    user_headers = sign_in(make_user(role="admin"), "me:read", "audit:read")
    assert client_with_auth.get("/api/v2/me", headers=user_headers).json["permissions"] == [
        "audit:read",
        "me:read",
    ]


def test_me_has_no_user_with_open_access(client):
    assert client.get("/api/v2/me").json == {"user": None, "permissions": sorted(ADMIN)}


def test_me_rejects_parameters(client_with_auth, admin):
    assert client_with_auth.get("/api/v2/me?x=1", headers=admin).status_code == 422


def test_an_anonymous_email_in_use_is_a_conflict(client_with_auth, admin):
    user = make_user()
    make_user(email=f"{user.pk.hex}@anonymous.invalid")
    response = client_with_auth.post(f"{URL}/{user.pk}/anonymise", headers=admin)
    assert (response.status_code, response.json["code"]) == (409, "already-exists")


@pytest.mark.parametrize(
    "email", ["@anonymous.invalid", "a b@anonymous.invalid", "ada@anonymous.invalid"]
)
def test_an_email_in_the_anonymous_domain_is_rejected(client_with_auth, admin, email):
    response = client_with_auth.post(URL, json={"email": email, "full_name": "Ada"}, headers=admin)
    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == "#/email"
