"""The admin who creates coupons, and a user who redeems them."""

import pytest

from tests.factories import make_user, sign_in


@pytest.fixture
def admin(client_with_auth):
    """The request headers of an admin."""
    return sign_in(make_user(role="admin"))


@pytest.fixture
def user(client_with_auth):
    return make_user()


@pytest.fixture
def user_headers(user):
    """The request headers of the user."""
    return sign_in(user)
