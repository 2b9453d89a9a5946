"""How PostgreSQL finds the orders of a seller."""

import pytest

from alchemist import database as db
from alchemist.domains.orders import service
from tests.api.pagination import plans
from tests.factories import make_user


@pytest.fixture
def plan(client):
    """Return what tells the plan of a query for any values."""

    def call(query):
        found = plans.recorded(lambda: db.session.execute(query.select, query.parameters))
        return plans.generic(db.session.connection(), *found)

    return call


def test_the_list_of_a_seller_uses_no_or(plan):
    """A condition with OR would be tried on every order of everybody."""
    pk = make_user().pk
    found = plan(service.list_query(buyer_id=pk, seller_id=pk))
    assert "products" in found
    assert " OR " not in found


def test_the_item_of_a_seller_only_reads_the_items_of_that_order(plan):
    """And not with all that the seller has ever sold."""
    pk = make_user().pk
    found = plan(service.by_pk(pk, buyer_id=pk, seller_id=pk))
    assert "order_id = $1" in found
