"""A user who owns heroes, and requests that create heroes."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from alchemist.domains.users.models import User
from tests.factories import make_user, sign_in


@pytest.fixture
def owner(client_with_auth: FlaskClient) -> User:
    return make_user()


@pytest.fixture
def owner_headers(owner: User) -> dict[str, str]:
    """The headers of a request of the owner."""
    return sign_in(owner)


@pytest.fixture
def create_hero(
    client_with_auth: FlaskClient, owner_headers: dict[str, str]
) -> Callable[..., TestResponse]:
    """Return a function that creates a hero over HTTP."""

    def call(headers: dict[str, str] = owner_headers, **values: Any) -> TestResponse:
        body = {"nickname": "Thistle"} | values
        return client_with_auth.post("/api/v2/heroes", json=body, headers=headers)

    return call
