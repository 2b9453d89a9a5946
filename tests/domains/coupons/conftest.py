"""Those who issue coupons, and those who use them."""

import pytest

from tests.factories import make_user, sign_in


@pytest.fixture
def admin(client_with_auth):
    """The headers of an admin's request."""
    return sign_in(make_user(role="admin"))


@pytest.fixture
def user(client_with_auth):
    return make_user()


@pytest.fixture
def user_headers(user):
    """The headers of a request of the user."""
    return sign_in(user)
