"""Callers, requests that create users and tokens, and apps whose requests commit."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, Connection, NullPool, create_engine
from werkzeug.test import TestResponse

from alchemist.domains.users import auth, last_use, token_service
from alchemist.domains.users.models import Token, User
from alchemist.domains.users.permissions import ADMIN
from tests.domains.users.tokens import tokens_url
from tests.factories import bearer, make_user, sign_in

USERS_URL = "/api/v2/users"


@pytest.fixture
def admin(client_with_auth: FlaskClient) -> dict[str, str]:
    """The headers of a request of an admin."""
    return sign_in(make_user(role="admin"))


@pytest.fixture
def make_committing_app(make_committing_app: Callable[..., Flask]) -> Callable[..., Flask]:
    auth._token_cache.clear()
    return partial(make_committing_app, open_access=False)


@pytest.fixture
def db_connection(fresh_database: URL) -> Iterator[Connection]:
    """A connection that the app does not use, in AUTOCOMMIT."""
    engine = create_engine(fresh_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def create_user(
    client_with_auth: FlaskClient, admin: dict[str, str]
) -> Callable[..., TestResponse]:
    """Return a function that creates a user over HTTP."""

    def call(headers: dict[str, str] = admin, **values: Any) -> TestResponse:
        body = {"email": "ada@alchemist.example", "full_name": "Ada Ingram"} | values
        return client_with_auth.post(USERS_URL, json=body, headers=headers)

    return call


@pytest.fixture
def update_user(
    client_with_auth: FlaskClient, admin: dict[str, str]
) -> Callable[..., TestResponse]:
    """Return a function that changes a user over HTTP."""

    def call(user: User, headers: dict[str, str] = admin, **changes: Any) -> TestResponse:
        url = f"{USERS_URL}/{user.pk}"
        return client_with_auth.patch(url, json=changes, headers=headers | {"If-Match": "*"})

    return call


@pytest.fixture
def user(client_with_auth: FlaskClient) -> User:
    return make_user()


@pytest.fixture
def user_headers(user: User) -> dict[str, str]:
    """The headers of a request of the user."""
    return sign_in(user)


@pytest.fixture
def create_token(
    client_with_auth: FlaskClient, user: User, user_headers: dict[str, str]
) -> Callable[..., TestResponse]:
    """Return a function that creates a token over HTTP."""

    def call(
        headers: dict[str, str] = user_headers, owner: User = user, **values: Any
    ) -> TestResponse:
        body = {"label": "Till"} | values
        return client_with_auth.post(tokens_url(owner), json=body, headers=headers)

    return call


@pytest.fixture
def token(client_with_auth: FlaskClient) -> tuple[Token, str]:
    """A token that was used just now, and its secret."""
    token, secret = token_service.issue_token(make_user(), ADMIN, label="Till")
    client_with_auth.get("/api/v2/me", headers=bearer(secret))
    last_use.recorder.flush()
    auth._token_cache.clear()
    return token, secret
