"""Lists of users: filters, sort keys and visibility."""

import pytest

from tests.answers import read_all_pages
from tests.factories import make_user, sign_in

URL = "/api/v2/users"


@pytest.fixture
def list_emails(client_with_auth, admin):
    """Return a function that returns the e-mails of the users in a list."""

    def call(**query):
        response = client_with_auth.get(URL, query_string=query, headers=admin)
        assert response.status_code == 200, response.text
        return [user["email"] for user in response.json]

    return call


@pytest.mark.parametrize("email", ["ada@alchemist.example", "ADA@Alchemist.Example"])
def test_the_email_filter_ignores_case(list_emails, email):
    make_user(email="ada@alchemist.example")
    make_user(email="ada@alchemist.example.example")
    assert list_emails(email=email) == ["ada@alchemist.example"]


def test_the_email_filter_ignores_case_fully(list_emails):
    make_user(email="straße@alchemist.example")
    assert list_emails(email="STRASSE@alchemist.example") == ["straße@alchemist.example"]


def test_the_email_filter_accepts_a_domain_in_punycode(list_emails):
    make_user(email="ada@bücher.example")
    assert list_emails(email="ada@xn--bcher-kva.example") == ["ada@bücher.example"]


def test_an_invalid_email_filter_is_an_error_with_its_parameter(client_with_auth, admin):
    response = client_with_auth.get(f"{URL}?email=ada", headers=admin)
    assert response.status_code == 422
    assert response.json["errors"][0]["parameter"] == "email"


@pytest.mark.parametrize("q", ["ingram", "INGRAM ada", "ada@alchemist.example"])
def test_q_finds_words_of_name_and_email_in_any_order_and_case(list_emails, q):
    make_user(email="ada@alchemist.example", full_name="Ada Ingram")
    make_user(email="bea@alchemist.example", full_name="Bea McIngram")
    assert list_emails(q=q) == ["ada@alchemist.example"]


def test_the_role_filter_finds_users_with_that_role(list_emails):
    make_user(email="ada@alchemist.example", role="merchant")
    make_user()
    assert list_emails(role="merchant") == ["ada@alchemist.example"]


@pytest.mark.parametrize(
    "query", ["role=king", "role=", "full_name=Ada", "email=a@b.example&email=c@d.example"]
)
def test_an_invalid_filter_is_rejected(client_with_auth, admin, query):
    assert client_with_auth.get(f"{URL}?{query}", headers=admin).status_code == 422


def test_users_are_sorted_by_email(list_emails):
    for name in ("bea", "ada", "cy"):
        make_user(email=f"{name}@alchemist.example", role="merchant")
    emails = list_emails(role="merchant", sort="-email")
    assert [email.split("@")[0] for email in emails] == ["cy", "bea", "ada"]


@pytest.mark.parametrize("sort", ["pk", "-pk", "created_at", "-created_at", "email,-pk"])
def test_every_page_of_a_sorted_list_can_be_followed(client_with_auth, admin, sort):
    emails = sorted(make_user(role="merchant").email for _ in range(5))
    rows = read_all_pages(client_with_auth, f"{URL}?role=merchant&limit=2&sort={sort}", admin)
    assert sorted(user["email"] for user in rows) == emails


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
    assert [row["pk"] for row in response.json] == [str(user.pk)]
    assert response.headers["X-Total-Count"] == "1"


def test_filters_do_not_reveal_other_users(client_with_auth):
    other = make_user(email="ada@alchemist.example")
    user_headers = sign_in(make_user())
    for query in (f"email={other.email}", "q=ada@alchemist.example", "role=admin"):
        assert client_with_auth.get(f"{URL}?{query}", headers=user_headers).json == []
