"""Buyer, merchant and admin, and the requests of the buyer."""

import pytest

from tests.domains.orders.shop import URL
from tests.factories import make_user, sign_in


@pytest.fixture
def buyer(client_with_auth):
    return make_user()


@pytest.fixture
def buyer_headers(buyer):
    """The request headers of the buyer."""
    return sign_in(buyer)


@pytest.fixture
def merchant(client_with_auth):
    return make_user(role="merchant")


@pytest.fixture
def admin(client_with_auth):
    """The request headers of an admin."""
    return sign_in(make_user(role="admin"))


@pytest.fixture
def place(client_with_auth, buyer_headers):
    """Return a function that places an order of some items."""

    def call(*items, headers=buyer_headers, **values):
        return client_with_auth.post(URL, json={"items": list(items)} | values, headers=headers)

    return call


@pytest.fixture
def quote(client_with_auth, buyer_headers):
    """Return a function that requests the quote of some items."""

    def call(*items, headers=buyer_headers, **values):
        return client_with_auth.post(
            f"{URL}/quote", json={"items": list(items)} | values, headers=headers
        )

    return call
