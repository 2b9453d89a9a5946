"""`alchemist expire-orders`: cancel the orders that were not paid in time, and no others."""

from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, select, text

from alchemist import database as db
from alchemist.cli import main
from alchemist.domains.orders.models import Order
from tests.factories import make_order, make_product


@pytest.fixture
def run_command(make_committing_app, fresh_database, monkeypatch):
    """Return a function that runs the command, and returns the last line of its output."""
    make_committing_app()
    bind = db.session.session_factory.kw.get("bind")
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))

    def run():
        result = CliRunner().invoke(main, ["expire-orders"])
        assert result.exit_code == 0, result.output
        return result.output.splitlines()[-1]

    yield run
    db.session.configure(bind=bind)


def test_it_cancels_the_orders_that_were_not_paid_in_time(run_command, fresh_database):
    product = make_product(stock=9)
    expired = {make_order(product, ttl=timedelta(seconds=-1)).pk for _ in range(3)}
    unpaid = make_order(product).pk
    db.session.commit()
    db.session.remove()
    assert [run_command(), run_command()] == ["3 orders cancelled.", "0 orders cancelled."]
    with create_engine(fresh_database, poolclass=NullPool).connect() as connection:
        statuses = dict(map(tuple, connection.execute(select(Order.pk, Order.status))))
        stock = connection.scalar(text("SELECT stock FROM products"))
        audited = connection.scalar(
            text("SELECT count(*) FROM audit_log WHERE resource = 'orders' AND action = 'update'")
        )
    assert statuses == dict.fromkeys(expired, "cancelled") | {unpaid: "placed"}
    assert (stock, audited) == (8, 3)
