"""The audit log over HTTP: which changes have list_entries, and which filters find them."""

import os
import pwd
from uuid import UUID

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.heroes import service
from alchemist.domains.heroes import service as heroes
from alchemist.domains.users import token_service
from alchemist.domains.users.permissions import ADMIN
from tests.factories import make_hero, make_ingredient, make_potion, make_user, sign_in

URL = "/api/v2/audit"
ANY = {"If-Match": "*"}


def actions_and_fields(matches):
    return [(entry["action"], entry["fields"]) for entry in matches]


def test_an_entry_has_the_row_the_fields_the_caller_and_the_request(
    client_with_auth, caller, list_entries
):
    user, token, headers = caller
    headers = headers | {"X-Request-ID": "request-1"}
    created = client_with_auth.post(
        "/api/v2/ingredients", json={"name": "Mandrake"}, headers=headers
    )
    [entry] = list_entries(resource_pk=created.json["pk"])
    assert {
        name: entry[name] for name in entry if name not in ("pk", "created_at", "updated_at")
    } == {
        "resource": "ingredients",
        "resource_pk": created.json["pk"],
        "action": "create",
        "fields": ["name"],
        "changes": [],
        "user_id": str(user.pk),
        "token_id": str(token.pk),
        "request_id": created.headers["X-Request-ID"],
        "client_request_id": "request-1",
        "client_address": None,
        "os_user": None,
    }


def test_the_request_id_is_that_of_the_response(client_with_auth, admin, list_entries):
    created = client_with_auth.post("/api/v2/ingredients", json={"name": "Mandrake"}, headers=admin)
    [entry] = list_entries(resource_pk=created.json["pk"])
    assert entry["request_id"] == created.headers["X-Request-ID"]


def test_a_row_has_entries_from_its_creation_to_its_deletion(client_with_auth, admin, list_entries):
    created = client_with_auth.post("/api/v2/heroes", json={"nickname": "Moss"}, headers=admin)
    url = created.location
    client_with_auth.patch(url, json={"role": "tank", "nickname": "Fern"}, headers=admin | ANY)
    client_with_auth.patch(url, json={"role": None}, headers=admin | ANY)
    client_with_auth.delete(url, headers=admin | ANY)
    assert actions_and_fields(list_entries(resource="heroes", resource_pk=created.json["pk"])) == [
        ("create", ["nickname", "user_id"]),
        ("update", ["nickname", "role"]),
        ("update", ["role"]),
        ("delete", []),
    ]


def test_an_entry_has_the_names_of_fields_and_not_their_values(
    client_with_auth, admin, list_entries
):
    user = make_user()
    change = {"email": "secret@alchemist.example", "full_name": "Secret", "role": "merchant"}
    client_with_auth.patch(f"/api/v2/users/{user.pk}", json=change, headers=admin | ANY)
    matches = list_entries(resource="users", resource_pk=str(user.pk))
    assert actions_and_fields(matches)[-1] == ("update", ["email", "full_name", "role"])
    assert "secret" not in str(matches).lower()


def test_a_token_has_entries_too(client_with_auth, caller, list_entries):
    user, _, headers = caller
    created = client_with_auth.post(
        f"/api/v2/users/{user.pk}/tokens", json={"label": "T"}, headers=headers
    )
    client_with_auth.delete(created.location, headers=headers)
    matches = actions_and_fields(list_entries(resource="tokens", resource_pk=created.json["pk"]))
    assert [action for action, _ in matches] == ["create", "update"]
    assert matches[1] == ("update", ["revoked_at"])


def test_tokens_that_are_deleted_with_their_user_have_entries(
    client_with_auth, admin, list_entries
):
    user = make_user()
    token, _ = token_service.issue_token(user, ADMIN, label="Test")
    client_with_auth.delete(f"/api/v2/users/{user.pk}", headers=admin | ANY)
    assert actions_and_fields(list_entries(resource_pk=str(user.pk)))[-1] == ("delete", [])
    assert actions_and_fields(list_entries(resource_pk=str(token.pk)))[-1] == ("delete", [])


def test_anonymising_twice_is_one_entry(client_with_auth, admin, list_entries):
    user = make_user()
    for _ in range(2):
        client_with_auth.post(f"/api/v2/users/{user.pk}/anonymise", headers=admin)
    matches = actions_and_fields(list_entries(resource_pk=str(user.pk)))
    assert matches == [("create", ["email", "full_name"]), ("update", ["email", "full_name"])]


# Recipes


def test_a_new_potion_is_one_entry(client_with_auth, admin, list_entries):
    body = {"name": "Draught", "ingredients": [str(make_ingredient().pk)]}
    created = client_with_auth.post("/api/v2/potions", json=body, headers=admin)
    [(action, fields)] = actions_and_fields(list_entries(resource_pk=created.json["pk"]))
    assert action == "create"
    assert "name" in fields


def recipe(*ingredients):
    return {"ingredients": [str(ingredient.pk) for ingredient in ingredients]}


def test_a_change_of_a_recipe_is_an_entry_of_the_potion(client_with_auth, admin, list_entries):
    potion = make_potion()
    url = f"/api/v2/potions/{potion.pk}"
    client_with_auth.patch(url, json=recipe(make_ingredient()), headers=admin | ANY)
    assert actions_and_fields(list_entries(resource_pk=str(potion.pk)))[1:] == [
        ("update", ["ingredients"])
    ]


def test_a_change_of_name_and_recipe_is_one_entry(client_with_auth, admin, list_entries):
    potion = make_potion()
    change = recipe(make_ingredient()) | {"name": "Changed"}
    client_with_auth.patch(f"/api/v2/potions/{potion.pk}", json=change, headers=admin | ANY)
    assert actions_and_fields(list_entries(resource_pk=str(potion.pk)))[1:] == [
        ("update", ["ingredients", "name"])
    ]


# What leaves no entry


@pytest.mark.parametrize("body", [{}, {"nickname": "Moss"}, {"nickname": " Moss ", "role": None}])
def test_a_patch_that_changes_nothing_leaves_no_entry(client_with_auth, admin, list_entries, body):
    hero = make_hero(nickname="Moss")
    client_with_auth.get("/api/v2/me", headers=admin)
    before = list_entries()
    response = client_with_auth.patch(f"/api/v2/heroes/{hero.pk}", json=body, headers=admin | ANY)
    assert response.status_code == 200
    assert list_entries() == before


def test_a_recipe_sent_back_unchanged_leaves_no_entry(client_with_auth, admin, list_entries):
    ingredient = make_ingredient()
    potion = make_potion(ingredient)
    before = list_entries()
    url = f"/api/v2/potions/{potion.pk}"
    assert (
        client_with_auth.patch(url, json=recipe(ingredient), headers=admin | ANY).status_code == 200
    )
    assert list_entries() == before


REJECTED_REQUESTS = {
    409: ("POST", "/api/v2/heroes", {"nickname": "Moss"}),
    422: ("POST", "/api/v2/heroes", {"nickname": ""}),
    403: ("POST", "/api/v2/ingredients", {"name": "Mandrake"}),
    404: ("PATCH", "/api/v2/heroes/0", {"nickname": "Moss"}),
}


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "one"}])
@pytest.mark.parametrize("status", REJECTED_REQUESTS)
def test_a_rejected_request_leaves_no_entry(client_with_auth, list_entries, status, key):
    make_hero(nickname="Moss")
    headers = sign_in(make_user())
    before = list_entries()
    method, url, body = REJECTED_REQUESTS[status]
    response = client_with_auth.open(url, method=method, json=body, headers=headers | ANY | key)
    assert response.status_code == status
    assert list_entries() == before


def test_a_change_that_is_rolled_back_leaves_no_entry(
    app, client_with_auth, admin, list_entries, monkeypatch
):
    """The request fails after the flush, which writes the entry in the same transaction."""
    create = heroes.create

    def create_and_fail(**values):
        hero = create(**values)
        assert count_entries(hero.pk) == 1
        raise ZeroDivisionError

    monkeypatch.setattr(service, "create", create_and_fail)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    before = list_entries()
    response = client_with_auth.post("/api/v2/heroes", json={"nickname": "Moss"}, headers=admin)
    assert response.status_code == 500
    assert list_entries() == before


def count_entries(pk):
    statement = text("SELECT count(*) FROM audit_log WHERE resource_pk = :pk")
    return db.session.scalar(statement, {"pk": pk})


def test_a_replayed_request_leaves_no_second_entry(client_with_auth, admin, list_entries):
    headers = admin | {"Idempotency-Key": "one"}
    created = [
        client_with_auth.post("/api/v2/heroes", json={"nickname": "M"}, headers=headers)
        for _ in "ab"
    ]
    assert created[1].headers["Idempotent-Replayed"] == "true"
    assert len(list_entries(resource_pk=created[0].json["pk"])) == 1


@pytest.mark.parametrize("path", ["/api/v2/heroes", "/api/v2/users", URL, "/api/v2/me"])
def test_a_read_leaves_no_entry(client_with_auth, admin, list_entries, path):
    before = list_entries()
    assert client_with_auth.get(path, headers=admin).status_code == 200
    assert list_entries() == before


def test_a_change_outside_of_a_request_has_no_user(list_entries):
    [entry] = list_entries(resource_pk=str(make_ingredient().pk))
    assert (entry["user_id"], entry["token_id"], entry["request_id"]) == (None, None, None)


def test_with_open_access_an_entry_has_a_request_and_no_user(client):
    created = client.post("/api/v2/ingredients", json={"name": "Mandrake"})
    [entry] = client.get(f"{URL}?resource_pk={created.json['pk']}").json
    assert (entry["user_id"], entry["token_id"]) == (None, None)
    assert entry["request_id"] == created.headers["X-Request-ID"]


def test_a_change_by_v1_has_the_same_entry(client_with_auth, caller, list_entries):
    user, token, headers = caller
    created = client_with_auth.post("/api/v1/heroes", json={"nickname": "Moss"}, headers=headers)
    [entry] = list_entries(resource_pk=created.json["uuid"])
    assert (entry["user_id"], entry["token_id"]) == (str(user.pk), str(token.pk))
    assert entry["request_id"] == created.headers["X-Request-ID"]


# Values of roles and permissions


def changes_of(entries):
    return [change for entry in entries for change in entry["changes"]]


def test_a_new_role_is_logged_with_the_former_one(client_with_auth, admin, list_entries):
    body = {"email": "ada@alchemist.example", "full_name": "Ada"}
    pk = client_with_auth.post("/api/v2/users", json=body, headers=admin).json["pk"]
    for change in ({"role": "admin"}, {"full_name": "Ada Ingram"}):
        client_with_auth.patch(f"/api/v2/users/{pk}", json=change, headers=admin | ANY)
    assert changes_of(list_entries(resource_pk=pk)) == [
        {"field": "role", "from": None, "to": "customer"},
        {"field": "role", "from": "customer", "to": "admin"},
    ]


def test_a_role_granted_by_v1_or_a_command_is_logged(client_with_auth, admin, list_entries):
    body = {"email": "ada@alchemist.example", "full_name": "Ada"}
    created = client_with_auth.post("/api/v1/user/create-user", json=body, headers=admin).json
    by_command = make_user(role="merchant")
    for pk, role in ((UUID(created["id"]), "customer"), (by_command.pk, "merchant")):
        assert changes_of(list_entries(resource_pk=str(pk))) == [
            {"field": "role", "from": None, "to": role}
        ]


def test_the_permissions_of_a_new_token_are_logged(client_with_auth, caller, list_entries):
    user, _, headers = caller
    body = {"label": "T", "permissions": ["users:read", "me:read"]}
    url = f"/api/v2/users/{user.pk}/tokens"
    pk = client_with_auth.post(url, json=body, headers=headers).json["pk"]
    assert changes_of(list_entries(resource_pk=pk)) == [
        {"field": "permissions", "from": None, "to": "me:read users:read"}
    ]


# Where a change came from


def test_the_address_of_the_client_is_logged_if_configured(
    app, client_with_auth, admin, list_entries, monkeypatch
):
    monkeypatch.setitem(app.extensions, "log_client_address", True)
    remote = {"REMOTE_ADDR": "192.0.2.7"}
    for body, url in (({"name": "Mandrake"}, "ingredients"), ({"nickname": "Moss"}, "heroes")):
        created = client_with_auth.post(
            f"/api/v2/{url}", json=body, headers=admin, environ_base=remote
        )
        [entry] = list_entries(resource_pk=created.json["pk"])
        assert entry["client_address"] == "192.0.2.7"


def test_a_command_is_logged_with_its_operating_system_user(list_entries):
    [entry] = list_entries(resource_pk=str(make_ingredient().pk))
    assert entry["os_user"] == pwd.getpwuid(os.getuid()).pw_name
