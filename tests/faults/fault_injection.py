"""The service with faults: it can be killed after a COMMIT, and can have a defect."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sqlalchemy import event, false, insert, select, text
from sqlalchemy.orm import Session

from alchemist import database as db
from alchemist import errors
from alchemist.api import operations
from alchemist.app import create_app
from alchemist.domains.coupons import blueprint
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Coupon, Redemption
from alchemist.domains.orders import service as orders
from alchemist.domains.orders import stock

# A worker that finds this file after a COMMIT removes it, and dies before it responds.
KILL_FILE = Path(os.environ["FAULTS_KILL_FILE"])

# Reads the stock, and writes what it computed from it: a concurrent change is lost.
READ_MODIFY_WRITE = text("""
    WITH requested AS (
        SELECT * FROM unnest(CAST(:product_ids AS uuid[]), CAST(:quantities AS int[]))
            WITH ORDINALITY AS requested(product_id, quantity, n)
    ), seen AS MATERIALIZED (
        SELECT products.*, quantity, n FROM products JOIN requested ON product_id = products.pk
    ), decremented AS (
        UPDATE products SET stock = seen.stock - seen.quantity FROM seen
        WHERE products.pk = seen.pk AND seen.stock >= seen.quantity RETURNING products.pk
    )
    SELECT seen.pk AS product_id, quantity, store_id, seen.name, price AS unit_price, currency,
        stock, decremented.pk IS NOT NULL AS is_reserved
    FROM seen LEFT JOIN decremented ON decremented.pk = seen.pk ORDER BY n
""")


def _select_without_lock(query: db.Query) -> Any:
    """Return a row without locking it."""
    return db.session.scalars(query.select, query.parameters).one()


def _select_coupon_without_lock(code: str) -> Any:
    return _select_without_lock(coupons.by_code(code))


def _redeem_without_lock(coupon: Coupon, user_id: Any, order_id: Any = None) -> Any:
    """Check the count that was read, and store one less."""
    if coupon.remaining_count == 0:
        detail = "It has no uses left."
        raise errors.Conflict.at_location("pointer", "#/coupon_code", detail, "coupon-exhausted")
    counted = text("UPDATE coupons SET remaining_count = :left WHERE pk = :pk")
    db.session.execute(counted, {"left": coupon.remaining_count - 1, "pk": coupon.pk})
    ledger = db.table(Redemption)
    row = {"coupon_id": coupon.pk, "user_id": user_id, "order_id": order_id}
    return db.session.execute(insert(ledger).values(**row).returning(ledger.c.pk)).one()


def _return_stock_twice(order_id: UUID) -> None:
    for _ in range(2):
        return_stock(order_id)


def _replace(module: ModuleType, name: str, value: Any) -> None:
    """Replace a member of a module; raise AttributeError if there is none, as after a rename."""
    patch.object(module, name, value).start()


def _install_defect(defect: str) -> None:
    """Replace code by code with a race, which the harness must detect."""
    if defect == "read-modify-write":
        _replace(stock, "RESERVE_STOCK", READ_MODIFY_WRITE)
    elif defect == "unguarded-coupon":
        _replace(orders, "_lock_coupon", _select_coupon_without_lock)
        _replace(blueprint, "lock_row", _select_without_lock)
        _replace(coupons, "redeem", _redeem_without_lock)
    elif defect == "stock-returned-twice":
        _replace(stock, "return_stock", _return_stock_twice)
    elif defect == "early-fulfilment":
        _replace(orders, "HAS_UNFULFILLED_ITEMS", select(false()))


def _kill_after_commit(session: Session) -> None:
    if not session.in_nested_transaction():
        _kill_worker_if_requested()


def _store_and_kill(*args: Any) -> Any:
    """Store a row with a statement that commits itself."""
    stored = store(*args)
    _kill_worker_if_requested()
    return stored


def _kill_worker_if_requested() -> None:
    with suppress(FileNotFoundError):
        KILL_FILE.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


return_stock = stock.return_stock
store = operations.insert_returning_json
_replace(operations, "insert_returning_json", _store_and_kill)
_install_defect(os.environ.get("FAULTS_DEFECT", ""))
event.listen(db.session.session_factory, "after_commit", _kill_after_commit)
app = create_app()
