"""The audit log over HTTP: filters and permissions."""

import pytest

from alchemist.database import Base, Versioned
from alchemist.domains.audit.models import AuditEntry
from tests.factories import make_hero, make_ingredient, make_user, sign_in

URL = "/api/v2/audit"
ANY = {"If-Match": "*"}


def test_filters_find_entries_by_resource_row_and_user(client_with_auth, caller, list_entries):
    user, _, admin = caller
    hero = make_hero()
    client_with_auth.patch(f"/api/v2/heroes/{hero.pk}", json={"role": "tank"}, headers=admin | ANY)
    matches = list_entries(resource="heroes", resource_pk=str(hero.pk), user_id=str(user.pk))
    assert [(entry["action"], entry["fields"]) for entry in matches] == [("update", ["role"])]
    assert {entry["resource"] for entry in list_entries(resource="heroes")} == {"heroes"}
    assert {entry["resource_pk"] for entry in list_entries(resource_pk=str(hero.pk))} == {
        str(hero.pk)
    }
    assert {entry["user_id"] for entry in list_entries(user_id=str(user.pk))} == {str(user.pk)}
    assert list_entries(resource="potions", resource_pk=str(hero.pk)) == []


@pytest.mark.parametrize(
    "query",
    [
        *("resource_pk=x", "pk=x", "user_id=x", "updated_after=x", "resource=spells"),
        *("action=create", "request_id=1", "sort=resource"),
    ],
)
def test_an_invalid_filter_is_rejected(client_with_auth, admin, query):
    assert client_with_auth.get(f"{URL}?{query}", headers=admin).status_code == 422


def test_entries_are_found_by_their_own_keys_and_by_time(client_with_auth, admin, list_entries):
    for _ in range(3):
        make_ingredient()
    entries = list_entries(resource="ingredients")
    keys = [entry["pk"] for entry in entries]
    assert [each["pk"] for each in list_entries(pk=f"{keys[0]},{keys[2]}")] == [keys[0], keys[2]]
    moment = entries[1]["updated_at"]
    later = [entry["pk"] for entry in entries if entry["updated_at"] >= moment]
    assert [e["pk"] for e in list_entries(resource="ingredients", updated_after=moment)] == later
    assert list_entries(updated_after="2100-01-01T00:00:00Z") == []


def test_the_resources_of_the_log_are_those_of_the_models(app):
    document = app.extensions["versions"]["v2"].document
    tables = {
        mapper.local_table.name
        for mapper in Base.registry.mappers
        if issubclass(mapper.class_, Versioned) and mapper.class_ is not AuditEntry
    }
    assert set(document["components"]["schemas"]["AuditedResource"]["enum"]) == tables
    for path in ("/api/v2/audit", "/api/v2/changes"):
        parameters = document["paths"][path]["get"]["parameters"]
        [schema] = [each["schema"] for each in parameters if each.get("name") == "resource"]
        assert schema["$ref"] == "#/components/schemas/AuditedResource"


def test_an_entry_can_be_fetched_by_its_pk(client_with_auth, admin, list_entries):
    [entry] = list_entries(resource_pk=str(make_ingredient().pk))
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
    [entry] = list_entries(resource_pk=str(make_ingredient().pk))
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
