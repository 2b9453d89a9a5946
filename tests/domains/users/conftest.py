"""An admin, requests about users, and apps without open access whose requests commit."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, Connection, NullPool, create_engine

from alchemist.domains.users import auth
from tests.factories import make_user, sign_in


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
