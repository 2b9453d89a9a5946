"""The callers: a merchant who owns a store, another merchant, and an admin."""

import pytest
from flask.testing import FlaskClient

from alchemist.domains.users.models import User
from tests.factories import make_user, sign_in


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
