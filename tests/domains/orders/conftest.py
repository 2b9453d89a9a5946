"""Those who buy and sell."""

import pytest

from tests.domains.orders.shop import URL
from tests.factories import make_user, sign_in


@pytest.fixture
def buyer(closed):
    return make_user()


@pytest.fixture
def mine(buyer):
    """The headers of a request of the buyer."""
    return sign_in(buyer)


@pytest.fixture
def merchant(closed):
    return make_user(role="merchant")


@pytest.fixture
def admin(closed):
    """The headers of an admin's request."""
    return sign_in(make_user(role="admin"))


@pytest.fixture
def place(closed, mine):
    """Return what places an order of some lines."""

    def act(*lines, headers=mine, **values):
        return closed.post(URL, json={"items": list(lines)} | values, headers=headers)

    return act


@pytest.fixture
def quote(closed, mine):
    """Return what asks for the price of some lines."""

    def act(*lines, headers=mine, **values):
        return closed.post(f"{URL}/quote", json={"items": list(lines)} | values, headers=headers)

    return act
