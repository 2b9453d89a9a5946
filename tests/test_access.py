"""Who may do what: every operation of both documents, asked by everybody."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from alchemist import db
from alchemist.ingredients.models import Ingredient
from alchemist.users import service
from alchemist.users.permissions import ADMIN
from tests.factories import make_hero, make_ingredient, make_potion, make_user

WHO = ("anonymous", "stranger", "owner", "merchant", "admin", "narrowed")
ANYBODY = "200 200 200 200 200 200"
KNOWN = "401 200 200 200 200 200"
ADMINS = {
    200: "401 403 403 403 200 403",
    201: "401 403 403 403 201 403",
    204: "401 403 403 403 204 403",
}
HIDDEN = {
    200: "401 404 200 404 200 403",
    201: "401 404 201 404 201 403",
    204: "401 404 204 404 204 403",
}

# The statuses that the callers of WHO get, in their order. The narrowed one is an admin whose
# token permits `me:read` alone. Whoever sends an expired or a revoked token gets 401 everywhere.
TABLE = {
    "GET /api/v2/ingredients": ANYBODY,
    "POST /api/v2/ingredients": ADMINS[201],
    "GET /api/v2/ingredients/{pk}": ANYBODY,
    "PATCH /api/v2/ingredients/{pk}": ADMINS[200],
    "DELETE /api/v2/ingredients/{pk}": ADMINS[204],
    "GET /api/v2/potions": ANYBODY,
    "POST /api/v2/potions": ADMINS[201],
    "GET /api/v2/potions/{pk}": ANYBODY,
    "PATCH /api/v2/potions/{pk}": ADMINS[200],
    "DELETE /api/v2/potions/{pk}": ADMINS[204],
    "GET /api/v2/users": "401 200 200 200 200 403",
    "POST /api/v2/users": ADMINS[201],
    "GET /api/v2/users/{pk}": HIDDEN[200],
    "PATCH /api/v2/users/{pk}": ADMINS[200],
    "DELETE /api/v2/users/{pk}": ADMINS[204],
    "POST /api/v2/users/{pk}/anonymise": ADMINS[200],
    "GET /api/v2/users/{user_id}/tokens": HIDDEN[200],
    "POST /api/v2/users/{user_id}/tokens": HIDDEN[201],
    "GET /api/v2/users/{user_id}/tokens/{pk}": HIDDEN[200],
    "DELETE /api/v2/users/{user_id}/tokens/{pk}": HIDDEN[204],
    "GET /api/v2/me": KNOWN,
    "GET /api/v2/heroes": ANYBODY,
    "POST /api/v2/heroes": "401 201 201 201 201 403",
    "GET /api/v2/heroes/{pk}": ANYBODY,
    "PATCH /api/v2/heroes/{pk}": HIDDEN[200],
    "DELETE /api/v2/heroes/{pk}": HIDDEN[204],
    "GET /api/v2/audit": ADMINS[200],
    "GET /api/v2/audit/{pk}": ADMINS[200],
    "GET /api/v1/": ANYBODY,
    "GET /api/v1/ingredients": ANYBODY,
    "POST /api/v1/ingredients": ADMINS[201],
    "GET /api/v1/ingredients/{pk}": ANYBODY,
    "GET /api/v1/potions": ANYBODY,
    "POST /api/v1/potions": ADMINS[201],
    "GET /api/v1/potions/{pk}": ANYBODY,
    "GET /api/v1/user/get-users": "401 200 200 200 200 403",
    "GET /api/v1/user/get-user": HIDDEN[200],
    "POST /api/v1/user/create-user": ADMINS[200],
    "POST /api/v1/heroes": "401 201 201 201 201 403",
    "GET /api/v1/heroes/{pk}": ANYBODY,
    "PATCH /api/v1/heroes/{pk}": HIDDEN[200],
    "DELETE /api/v1/heroes/{pk}": HIDDEN[200],
}


def operations(app: Any) -> set[str]:
    apis = app.extensions["flask-smorest"]["apis"].values()
    return {
        f"{method.upper()} {path}"
        for api in apis
        for path, item in api["ext_obj"].spec.to_dict()["paths"].items()
        for method in item
        if method != "parameters"
    }


def test_every_operation_stands_in_the_table(app):
    assert operations(app) == set(TABLE)


@pytest.fixture
def cast(transaction) -> SimpleNamespace:
    """Everybody, and the rows that are asked for; a hero and a token are the owner's."""
    owner, admin = make_user(), make_user(role="admin")
    secrets = {"anonymous": None}
    for name, user in {
        "stranger": make_user(),
        "owner": owner,
        "merchant": make_user(role="merchant"),
        "admin": admin,
    }.items():
        secrets[name] = service.issue(user, ADMIN, label=name)[1]
    secrets["narrowed"] = service.issue(admin, ADMIN, label="n", permissions=["me:read"])[1]
    secrets["expired"] = service.issue(
        admin, ADMIN, label="e", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )[1]
    revoked, secrets["revoked"] = service.issue(admin, ADMIN, label="r")
    service.revoke(revoked)
    return SimpleNamespace(owner=owner, secrets=secrets)


def ask(client: Any, cast: SimpleNamespace, operation: str, who: str) -> Any:
    """Send a valid request of the operation, aimed at what belongs to the owner."""
    method, path = operation.split()
    secret = cast.secrets[who]
    headers = {"If-Match": "*"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
    query = f"?id={cast.owner.pk}" if path.endswith("get-user") else ""
    url = path.format(pk=row_of(client, path, cast), user_id=cast.owner.pk) + query
    return client.open(url, method=method, json=body_of(method, path), headers=headers)


def row_of(client: Any, path: str, cast: SimpleNamespace) -> UUID | None:
    if "{pk}" not in path:
        return None
    if path.endswith("/tokens/{pk}"):
        return service.issue(cast.owner, ADMIN, label="asked for")[0].pk
    if "/users/" in path:
        # Without rows that would keep the owner from being deleted.
        return cast.owner.pk
    if "/audit/" in path:
        return entry_of(make_ingredient())
    makers = {"ingredients": make_ingredient, "potions": make_potion}
    kind = path.split("/")[3]
    return makers[kind]().pk if kind in makers else make_hero(user_id=cast.owner.pk).pk


def entry_of(ingredient: Ingredient) -> UUID:
    statement = text("SELECT pk FROM audit_log WHERE resource_pk = :pk")
    return db.session.scalar(statement, {"pk": ingredient.pk})


def body_of(method: str, path: str) -> Any:
    if method in ("GET", "DELETE") or path.endswith("/anonymise"):
        return None
    if method == "PATCH":
        return {}
    kind = path.rstrip("/").rpartition("/")[2]
    user = {"email": "new@alchemist.example", "full_name": "New"}
    return {
        "ingredients": {"name": "New"},
        "potions": {"name": "New", "ingredients": [str(make_ingredient().pk)]},
        "heroes": {"nickname": "New"},
        "users": user,
        "create-user": user,
        "tokens": {"label": "New", "permissions": ["me:read"]},
    }[kind]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("operation", TABLE)
def test_everybody_gets_what_the_table_says(closed, cast, operation, who):
    expected = int(TABLE[operation].split()[WHO.index(who)])
    answer = ask(closed, cast, operation, who)
    assert answer.status_code == expected, answer.text
    if expected == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    if expected == 403:
        assert answer.json["errors"][0]["permission"] in ADMIN


@pytest.mark.parametrize("who", ["expired", "revoked"])
@pytest.mark.parametrize("operation", TABLE)
def test_a_token_that_is_no_longer_good_is_refused_everywhere(closed, cast, operation, who):
    assert ask(closed, cast, operation, who).status_code == 401
