"""An admin with a token, and a list of the audit log."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from alchemist.domains.users import token_service
from alchemist.domains.users.models import Token, User
from alchemist.domains.users.permissions import ADMIN
from tests.factories import bearer, make_user


@pytest.fixture
def caller(client_with_auth: FlaskClient) -> tuple[User, Token, dict[str, str]]:
    """An admin, their token, and the headers of a request with it."""
    user = make_user(role="admin")
    token, secret = token_service.issue_token(user, ADMIN, label="Test", permissions=sorted(ADMIN))
    return user, token, bearer(secret)


@pytest.fixture
def admin(caller: tuple[User, Token, dict[str, str]]) -> dict[str, str]:
    """The headers of a request of the admin."""
    return caller[2]


@pytest.fixture
def list_entries(client_with_auth: FlaskClient, admin: dict[str, str]) -> Callable[..., Any]:
    """Return a function that lists audit entries."""

    def call(**query: str) -> Any:
        response = client_with_auth.get("/api/v2/audit", query_string=query, headers=admin)
        assert response.status_code == 200, response.text
        return response.json

    return call
