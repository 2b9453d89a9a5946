"""Callers: a merchant who owns stores, another merchant, an admin; and requests for new stores."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from alchemist.domains.users.models import User
from tests.factories import make_user, sign_in

REQUIRED = {
    "name": "The Crooked Ladle",
    "street": "7 Tallow Lane",
    "zipcode": "1000",
    "city": "Brassel",
    "country": "Belgium",
    "currency": "EUR",
}


@pytest.fixture
def owner(client_with_auth: FlaskClient) -> User:
    return make_user(role="merchant")


@pytest.fixture
def owner_headers(owner: User) -> dict[str, str]:
    """The headers of a request of the owner."""
    return sign_in(owner)


@pytest.fixture
def stranger(client_with_auth: FlaskClient) -> dict[str, str]:
    """The headers of a request of another merchant."""
    return sign_in(make_user(role="merchant"))


@pytest.fixture
def admin(client_with_auth: FlaskClient) -> dict[str, str]:
    """The headers of a request of an admin."""
    return sign_in(make_user(role="admin"))


@pytest.fixture
def create_store(
    client_with_auth: FlaskClient, owner_headers: dict[str, str]
) -> Callable[..., TestResponse]:
    """Return a function that creates a store over HTTP."""

    def call(headers: dict[str, str] = owner_headers, **values: Any) -> TestResponse:
        return client_with_auth.post("/api/v2/stores", json=REQUIRED | values, headers=headers)

    return call
