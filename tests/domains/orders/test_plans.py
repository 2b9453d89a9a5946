"""Query plans of the orders of a seller."""

import pytest

from alchemist import database as db
from alchemist.domains.orders import queries
from tests.api.pagination import plans
from tests.factories import make_user


@pytest.fixture
def plan(client):
    """Return a function that returns the generic plan of a query."""

    def call(query):
        found = plans.recorded(lambda: db.session.execute(query.select, query.parameters))
        return plans.generic(db.session.connection(), *found)

    return call


def test_the_list_of_a_seller_uses_no_or(plan):
    """PostgreSQL would evaluate a condition with OR for every order in the table."""
    pk = make_user().pk
    generic_plan = plan(queries.list_query(buyer_id=pk, seller_id=pk))
    assert "order_items" in generic_plan
    assert " OR " not in generic_plan


def test_the_item_of_a_seller_only_reads_the_items_of_that_order(plan):
    """It does not read the items of all orders of the seller."""
    pk = make_user().pk
    generic_plan = plan(queries.by_pk(pk, buyer_id=pk, seller_id=pk))
    assert "order_id = $1" in generic_plan
