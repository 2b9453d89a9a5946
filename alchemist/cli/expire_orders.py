"""`alchemist expire-orders`: cancel orders that were not paid in time."""

from pathlib import Path

import click
from sqlalchemy import URL

from alchemist.domains.orders import service

from . import errors
from .operator_session import operator_session
from .output import echo
from .target_database import data_option, running_database


@click.command()
@data_option
def expire_orders(data: Path | None) -> None:
    """Cancel orders that were not paid in time.

    Returns their stock and their coupons. Each order is a transaction of its own. Run this every
    minute, for example with cron. The service may be running, and several of these commands.

    \b
    Example:
        alchemist expire-orders
    """
    with errors.report_expected_errors(), running_database(data) as database:
        echo(f"Cancelling expired orders in {database.location}.")
        echo(f"{cancel_expired_orders(database.url)} orders cancelled.")


def cancel_expired_orders(url: URL) -> int:
    """Cancel all expired orders, each in a transaction of its own; return how many."""
    count = 0
    while _cancel_one(url):
        count += 1
    return count


def _cancel_one(url: URL) -> bool:
    with operator_session(url):
        return service.cancel_one_expired_order() is not None
