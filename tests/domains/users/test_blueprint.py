"""Users, as an admin meets them."""

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
EVERYTHING_BUT_AUDIT = sorted(ADMIN - {"audit:read"})


@pytest.fixture
def post(client_with_auth, admin):
    """Return what creates a user of some fields."""

    def call(headers=admin, **values):
        body = {"email": "ada@alchemist.example", "full_name": "Ada Ingram"} | values
        return client_with_auth.post(URL, json=body, headers=headers)

    return call


@pytest.fixture
def patch(client_with_auth, admin):
    """Return what changes a user."""

    def call(user, headers=admin, **changes):
        return client_with_auth.patch(f"{URL}/{user.pk}", json=changes, headers=headers | ANY)

    return call


@pytest.fixture
def emails(client_with_auth, admin):
    """Return what lists the e-mails that a query finds."""

    def call(**query):
        answer = client_with_auth.get(URL, query_string=query, headers=admin)
        assert answer.status_code == 200, answer.text
        return [user["email"] for user in answer.json]

    return call


def row(user):
    db.session.rollback()
    return db.session.get(User, user.pk, populate_existing=True)


def test_a_new_user_is_answered_with_every_field(post):
    answer = post()
    assert answer.status_code == 201
    assert set(answer.json) == {"pk", "email", "full_name", "role", "created_at", "updated_at"}
    assert answer.location == f"{URL}/{answer.json['pk']}"


def test_a_new_user_is_a_customer(post):
    assert post().json["role"] == "customer"


@pytest.mark.parametrize("role", ["customer", "merchant", "admin"])
def test_an_admin_hands_out_every_role(post, role):
    assert post(role=role).json["role"] == role


ADDRESSES = {
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


@pytest.mark.parametrize("sent", ADDRESSES)
def test_an_email_is_kept_in_lower_case_and_one_form(post, sent):
    answer = post(email=sent)
    assert answer.status_code == 201, answer.text
    assert answer.json["email"] == ADDRESSES[sent]


INVALID = [
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


@pytest.mark.parametrize("email", INVALID)
def test_what_is_no_email_is_told_with_its_pointer(post, email):
    answer = post(email=email)
    assert answer.status_code == 422
    assert ("#/email", "wrong-type") in pointers_and_codes(answer)


@pytest.mark.parametrize("email", [None, 5, "", "   ", [], {}, True])
def test_an_email_that_is_no_text_is_told_with_its_pointer(post, email):
    answer = post(email=email)
    assert answer.status_code == 422
    assert error_pointers(answer) == {"#/email"}


LONG = [f"ada@{'.'.join(['a' * 60] * 5)}.example", f"{'a' * 300}@a.example"]


@pytest.mark.parametrize("email", [*LONG, f"{'İ' * 130}@alchemist.example"])
def test_an_email_beyond_254_characters_in_lower_case_is_told_with_its_pointer(post, email):
    answer = post(email=email)
    assert answer.status_code == 422
    assert error_pointers(answer) == {"#/email"}


def test_all_that_is_wrong_with_a_user_is_told_at_once(post):
    answer = post(email="ada", full_name=" ", role="king", nickname="Addy")
    assert pointers_and_codes(answer) == {
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
    "taken", ["ada@alchemist.example", "ADA@alchemist.EXAMPLE", " ada@alchemist.example "]
)
def test_a_taken_email_is_a_conflict_in_any_case(post, taken):
    assert post().status_code == 201
    answer = post(email=taken)
    assert answer.status_code == 409
    assert pointers_and_codes(answer) == {("#/email", "already-exists")}


def test_a_conflict_names_the_taken_email(post):
    post()
    assert "ada@alchemist.example" in post().json["detail"]


def test_a_conflict_names_an_email_of_other_letters_as_people_write_it(post):
    post(email="ada@bücher.example")
    assert "bücher" in post(email="ada@bücher.example").json["detail"]


def test_letters_that_only_lower_case_composes_make_no_second_user(post):
    assert post(email="J\u030csp@alchemist.example").status_code == 201
    assert post(email="\u01f0sp@alchemist.example").status_code == 409


def test_a_change_to_a_taken_email_is_a_conflict(patch):
    make_user(email="ada@alchemist.example")
    answer = patch(make_user(), email="ADA@alchemist.example")
    assert answer.status_code == 409
    assert pointers_and_codes(answer) == {("#/email", "already-exists")}


def test_a_user_keeps_the_email_that_is_sent_back_in_capitals(patch):
    user = make_user(email="ada@alchemist.example")
    assert patch(user, email="ADA@alchemist.example").json["email"] == "ada@alchemist.example"


@pytest.mark.parametrize("field", ["email", "full_name", "role"])
def test_nothing_of_a_user_can_be_cleared(patch, field):
    answer = patch(make_user(), **{field: None})
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {(f"#/{field}", "not-nullable")}


def test_what_was_got_may_be_sent_back(client_with_auth, admin):
    url = f"{URL}/{make_user().pk}"
    got = client_with_auth.get(url, headers=admin)
    answer = client_with_auth.patch(
        url, json=got.json, headers=admin | {"If-Match": got.headers["ETag"]}
    )
    assert answer.status_code == 200
    assert answer.json == got.json


@pytest.mark.parametrize("email", ["ada@alchemist.example", "ADA@Alchemist.Example"])
def test_the_email_filter_finds_one_in_any_case(emails, email):
    make_user(email="ada@alchemist.example")
    make_user(email="ada@alchemist.example.example")
    assert emails(email=email) == ["ada@alchemist.example"]


def test_the_email_filter_finds_an_international_domain_in_its_ascii_form(emails):
    make_user(email="ada@bücher.example")
    assert emails(email="ada@xn--bcher-kva.example") == ["ada@bücher.example"]


def test_an_email_filter_that_is_no_email_is_told_as_parameter(client_with_auth, admin):
    answer = client_with_auth.get(f"{URL}?email=ada", headers=admin)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["parameter"] == "email"


@pytest.mark.parametrize("q", ["ingram", "INGRAM ada", "ada@alchemist.example"])
def test_q_finds_words_of_name_and_email_in_any_order_and_case(emails, q):
    make_user(email="ada@alchemist.example", full_name="Ada Ingram")
    make_user(email="bea@alchemist.example", full_name="Bea Ingrams")
    assert emails(q=q) == ["ada@alchemist.example"]


def test_the_role_filter_finds_that_role_alone(emails):
    make_user(email="ada@alchemist.example", role="merchant")
    make_user()
    assert emails(role="merchant") == ["ada@alchemist.example"]


@pytest.mark.parametrize(
    "query", ["role=king", "role=", "full_name=Ada", "email=a@b.example&email=c@d.example"]
)
def test_a_filter_that_is_not_one_is_refused(client_with_auth, admin, query):
    assert client_with_auth.get(f"{URL}?{query}", headers=admin).status_code == 422


def test_users_are_sorted_by_email(emails):
    for name in ("bea", "ada", "cy"):
        make_user(email=f"{name}@alchemist.example", role="merchant")
    found = emails(role="merchant", sort="-email")
    assert [email.split("@")[0] for email in found] == ["cy", "bea", "ada"]


@pytest.mark.parametrize("sort", ["pk", "-pk", "created_at", "-created_at", "email,-pk"])
def test_every_documented_sort_key_is_walked_to_its_end(client_with_auth, admin, sort):
    wanted = {make_user(role="merchant").email for _ in range(5)}
    url, seen = f"{URL}?role=merchant&limit=2&sort={sort}", []
    while url:
        answer = client_with_auth.get(url, headers=admin)
        seen += [user["email"] for user in answer.json]
        following = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
        url = following and following[1]
    assert len(seen) == 5
    assert set(seen) == wanted


@pytest.mark.parametrize("sort", ["full_name", "role", "version"])
def test_another_sort_key_is_refused(client_with_auth, admin, sort):
    assert client_with_auth.get(f"{URL}?sort={sort}", headers=admin).status_code == 422


def test_a_list_of_users_is_one_statement_beside_the_token(client_with_auth, admin, statements):
    client_with_auth.get(URL, headers=admin)
    with statements() as seen:
        assert client_with_auth.get(URL, headers=admin).status_code == 200
    assert len(seen) == 1


def test_without_the_permission_for_any_the_list_is_oneself(client_with_auth):
    user = make_user()
    make_user()
    answer = client_with_auth.get(URL, query_string={"count": "exact"}, headers=sign_in(user))
    assert [found["pk"] for found in answer.json] == [str(user.pk)]
    assert answer.headers["X-Total-Count"] == "1"


def test_filters_do_not_widen_what_one_may_see(client_with_auth):
    other = make_user(email="ada@alchemist.example")
    user_headers = sign_in(make_user())
    for query in (f"email={other.email}", "q=ada@alchemist.example", "role=admin"):
        assert client_with_auth.get(f"{URL}?{query}", headers=user_headers).json == []


# Roles


@pytest.mark.parametrize("role", ["merchant", "admin"])
@pytest.mark.parametrize("own", ["customer", "merchant"])
def test_nobody_raises_their_own_role(patch, own, role):
    user = make_user(role=own)
    answer = patch(user, sign_in(user), role=role)
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "users:write"
    assert row(user).role == own


def test_who_holds_less_than_a_role_cannot_create_it(post):
    narrowed = sign_in(make_user(role="admin"), *EVERYTHING_BUT_AUDIT)
    answer = post(narrowed, role="admin")
    assert answer.status_code == 403
    assert answer.json["errors"] == [
        {
            "code": "forbidden",
            "detail": "This needs the permission audit:read.",
            "permission": "audit:read",
        }
    ]
    assert db.session.query(User).filter_by(email="ada@alchemist.example").count() == 0


def test_who_holds_less_than_a_role_cannot_give_it(patch):
    user = make_user(full_name="Ada")
    narrowed = sign_in(make_user(role="admin"), *EVERYTHING_BUT_AUDIT)
    answer = patch(user, narrowed, role="admin", full_name="Changed")
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "audit:read"
    assert (row(user).role, row(user).full_name) == ("customer", "Ada")


def test_who_holds_less_than_an_admin_may_still_make_customers(post):
    narrowed = sign_in(make_user(role="admin"), *EVERYTHING_BUT_AUDIT)
    assert post(narrowed).status_code == 201


def test_the_permission_to_write_users_alone_makes_no_customers(post):
    answer = post(sign_in(make_user(role="admin"), "users:write"))
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] in CUSTOMER


def test_who_may_create_a_user_is_not_told_that_it_does_not_exist(post):
    """A token that may write users and hold all of a customer, but may not read any user."""
    answer = post(sign_in(make_user(role="admin"), "users:write", *sorted(CUSTOMER)))
    assert answer.status_code in (201, 403), answer.text


def test_an_admin_is_demoted(patch):
    user = make_user(role="admin")
    assert patch(user, role="customer").json["role"] == "customer"


# Deletion


def test_a_user_with_heroes_is_kept_and_they_are_named(client_with_auth, admin):
    user = make_user()
    heroes = {make_hero(user_id=user.pk).pk for _ in range(2)}
    answer = client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert answer.status_code == 409
    assert answer.json["code"] == "in-use"
    told = " ".join(entry["detail"] for entry in answer.json["errors"])
    assert all(str(hero) in told for hero in heroes)
    assert row(user) is not None


def test_a_refused_deletion_leaves_the_tokens_good(client_with_auth, admin):
    user = make_user()
    make_hero(user_id=user.pk)
    user_headers = sign_in(user)
    client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert client_with_auth.get("/api/v2/me", headers=user_headers).status_code == 200


def test_a_user_without_anything_goes_with_all_tokens(client_with_auth, admin):
    user = make_user()
    secret = make_token(user)
    assert client_with_auth.get("/api/v2/me", headers=bearer(secret)).status_code == 200
    answer = client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert (answer.status_code, answer.data) == (204, b"")
    assert client_with_auth.get(f"{URL}/{user.pk}", headers=admin).status_code == 404
    assert client_with_auth.get("/api/v2/me", headers=bearer(secret)).status_code == 401
    count = "SELECT count(*) FROM tokens WHERE user_id = :pk"
    assert db.session.scalar(text(count), {"pk": user.pk}) == 0


def test_a_deleted_email_is_free_again(client_with_auth, admin, post):
    user = make_user(email="ada@alchemist.example")
    client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert post().status_code == 201


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_users_are_changed_and_deleted_with_if_match_only(client_with_auth, admin, method):
    url = f"{URL}/{make_user().pk}"
    answer = client_with_auth.open(url, method=method, json={}, headers=admin)
    assert answer.status_code == 428


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_is_refused_with_the_user_as_it_is(client_with_auth, admin, patch, method):
    user = make_user()
    url = f"{URL}/{user.pk}"
    old = client_with_auth.get(url, headers=admin).headers["ETag"]
    changed = patch(user, full_name="Changed")
    headers = admin | {"If-Match": old}
    answer = client_with_auth.open(url, method=method, json={"full_name": "Lost"}, headers=headers)
    assert answer.status_code == 412
    assert answer.json["current"] == changed.json
    assert answer.headers["ETag"] == changed.headers["ETag"]


@pytest.mark.parametrize(
    "pk", ["0", "x", f"{UUID(int=0)}0", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"]
)
def test_a_user_that_is_not_there_is_404(client_with_auth, admin, pk):
    assert client_with_auth.get(f"{URL}/{pk}", headers=admin).status_code == 404


# Idempotency keys


def test_a_repeated_creation_is_answered_as_the_first(post, admin):
    key = admin | {"Idempotency-Key": "one"}
    first, second = post(key), post(key)
    assert second.data == first.data
    assert second.headers["Idempotent-Replayed"] == "true"


def test_keys_are_private_to_the_caller(post):
    answers = [
        post(sign_in(make_user(role="admin")) | {"Idempotency-Key": "one"}, email=email)
        for email in ("ada@alchemist.example", "bea@alchemist.example")
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json["pk"] != answers[1].json["pk"]


def test_who_may_no_longer_do_it_gets_no_kept_answer(post):
    user = make_user(role="admin")
    key = {"Idempotency-Key": "one"}
    assert post(sign_in(user) | key).status_code == 201
    assert post(sign_in(user, "me:read") | key).status_code == 403


# Me


def test_me_is_the_caller_and_all_permissions_of_the_role(client_with_auth):
    user = make_user()
    user_headers = sign_in(user)
    answer = client_with_auth.get("/api/v2/me", headers=user_headers)
    assert answer.json == {
        "user": client_with_auth.get(f"{URL}/{user.pk}", headers=user_headers).json,
        "permissions": sorted(CUSTOMER),
    }


def test_me_tells_a_narrowed_caller_what_is_left(client_with_auth):
    user_headers = sign_in(make_user(role="admin"), "me:read", "audit:read")
    assert client_with_auth.get("/api/v2/me", headers=user_headers).json["permissions"] == [
        "audit:read",
        "me:read",
    ]


def test_me_is_nobody_with_open_access(client):
    assert client.get("/api/v2/me").json == {"user": None, "permissions": sorted(ADMIN)}


def test_me_takes_no_parameters(client_with_auth, admin):
    assert client_with_auth.get("/api/v2/me?x=1", headers=admin).status_code == 422


def test_an_anonymous_address_that_is_taken_is_a_conflict(client_with_auth, admin):
    user = make_user()
    make_user(email=f"{user.pk.hex}@anonymous.invalid")
    answer = client_with_auth.post(f"{URL}/{user.pk}/anonymise", headers=admin)
    assert (answer.status_code, answer.json["code"]) == (409, "already-exists")


@pytest.mark.parametrize(
    "email", ["@anonymous.invalid", "a b@anonymous.invalid", "ada@anonymous.invalid"]
)
def test_only_those_who_are_anonymous_have_an_anonymous_address(client_with_auth, admin, email):
    answer = client_with_auth.post(URL, json={"email": email, "full_name": "Ada"}, headers=admin)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "#/email"
