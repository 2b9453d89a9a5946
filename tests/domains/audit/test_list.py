"""The audit log over HTTP: filters and permissions."""

import pytest

from tests.factories import make_hero, make_ingredient, make_user, sign_in

URL = "/api/v2/audit"
ANY = {"If-Match": "*"}


def test_filters_find_entries_by_resource_row_and_user(client_with_auth, caller, list_entries):
    user, _, admin = caller
    hero = make_hero()
    client_with_auth.patch(f"/api/v2/heroes/{hero.pk}", json={"role": "tank"}, headers=admin | ANY)
    matches = list_entries(resource="heroes", pk=str(hero.pk), user_id=str(user.pk))
    assert [(entry["action"], entry["fields"]) for entry in matches] == [("update", ["role"])]
    assert {entry["resource"] for entry in list_entries(resource="heroes")} == {"heroes"}
    assert {entry["resource_pk"] for entry in list_entries(pk=str(hero.pk))} == {str(hero.pk)}
    assert {entry["user_id"] for entry in list_entries(user_id=str(user.pk))} == {str(user.pk)}
    assert list_entries(resource="potions", pk=str(hero.pk)) == []


@pytest.mark.parametrize(
    "query", ["pk=x", "user_id=x", "action=create", "request_id=1", "sort=resource"]
)
def test_an_invalid_filter_is_rejected(client_with_auth, admin, query):
    assert client_with_auth.get(f"{URL}?{query}", headers=admin).status_code == 422


def test_an_entry_can_be_fetched_by_its_pk(client_with_auth, admin, list_entries):
    [entry] = list_entries(pk=str(make_ingredient().pk))
    assert client_with_auth.get(f"{URL}/{entry['pk']}", headers=admin).json == entry


@pytest.mark.parametrize("role", ["customer", "merchant"])
def test_only_admins_can_read_the_log(client_with_auth, role):
    response = client_with_auth.get(URL, headers=sign_in(make_user(role=role)))
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "audit:read"


def test_a_scoped_admin_needs_the_permission(client_with_auth):
    scoped = sign_in(make_user(role="admin"), "users:read:any", "me:read")
    assert client_with_auth.get(URL, headers=scoped).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_log_is_read_only(client_with_auth, admin, list_entries, method):
    [entry] = list_entries(pk=str(make_ingredient().pk))
    for url in (URL, f"{URL}/{entry['pk']}"):
        response = client_with_auth.open(url, method=method, json={}, headers=admin | ANY)
        assert response.status_code == 405


def test_a_list_costs_one_statement_once_the_token_is_cached(client_with_auth, admin, statements):
    client_with_auth.get(URL, headers=admin)
    with statements() as executed:
        assert client_with_auth.get(URL, headers=admin).status_code == 200
    assert len(executed) == 1


def test_only_admins_can_read_the_feed_of_changes(client_with_auth):
    merchant = sign_in(make_user(role="merchant"))
    response = client_with_auth.get("/api/v2/changes", headers=merchant)
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "changes:read"
