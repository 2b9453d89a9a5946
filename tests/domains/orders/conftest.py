"""Those who buy and sell."""

import pytest

from tests.domains.orders.shop import URL
from tests.factories import make_user, sign_in


@pytest.fixture
def buyer(client_with_auth):
    return make_user()


@pytest.fixture
def buyer_headers(buyer):
    """The headers of a request of the buyer."""
    return sign_in(buyer)


@pytest.fixture
def merchant(client_with_auth):
    return make_user(role="merchant")


@pytest.fixture
def admin(client_with_auth):
    """The headers of an admin's request."""
    return sign_in(make_user(role="admin"))


@pytest.fixture
def place(client_with_auth, buyer_headers):
    """Return what places an order of some lines."""

    def call(*lines, headers=buyer_headers, **values):
        return client_with_auth.post(URL, json={"items": list(lines)} | values, headers=headers)

    return call


@pytest.fixture
def quote(client_with_auth, buyer_headers):
    """Return what asks for the price of some lines."""

    def call(*lines, headers=buyer_headers, **values):
        return client_with_auth.post(
            f"{URL}/quote", json={"items": list(lines)} | values, headers=headers
        )

    return call
