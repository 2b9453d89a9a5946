"""Queries of products, and the operations that change them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db
from alchemist import errors
from alchemist.domains.stores import service as stores
from alchemist.domains.stores.currencies import amount_errors
from alchemist.domains.stores.models import Store

from . import listeners  # noqa: F401  registers them
from .models import Product

MAX_STOCK = 1_000_000_000


@db.cached_query
def by_pk(pk: UUID, *, owner_id: UUID | None = None) -> Select[Any]:
    query = select(Product).where(Product.pk == pk)
    if owner_id is not None:
        query = query.where(Product.store_id.in_(store_pks_of_owner_select(owner_id)))
    return query


def store_pks_of_owner_select(owner_id: Any) -> Select[Any]:
    """Select the primary keys of the stores of an owner."""
    return select(Store.pk).where(Store.owner_id == owner_id)


@db.cached_query
def list_query(
    *,
    store_id: UUID | None = None,
    potion_id: UUID | None = None,
    min_price: Decimal | None = None,
    max_price: Decimal | None = None,
    in_stock: bool | None = None,
    reference: str | None = None,
    q: str | None = None,
) -> Select[Any]:
    query = db.select_where(
        Product, store_id=store_id, potion_id=potion_id, in_stock=in_stock, reference=reference, q=q
    )
    if min_price is not None:
        query = query.where(Product.price >= min_price)
    if max_price is not None:
        query = query.where(Product.price <= max_price)
    return query


def create(**values: Any) -> Product:
    """Return a new product; raise UnprocessableContent if its currency lacks the price."""
    [product] = create_many([values])
    if product.currency:
        check_price(product.price, product.currency)
    return product


def create_many(entries: Sequence[Mapping[str, Any]]) -> list[Product]:
    """Return new products, whose prices are checked already; all stores are looked up at once."""
    currencies = stores.currencies_by_store({values["store_id"] for values in entries})
    # Without a store the INSERT fails, whatever the currency is.
    return [
        Product(currency=currencies.get(values["store_id"], ""), **values) for values in entries
    ]


def check_price(price: Decimal, currency: str) -> None:
    """Raise UnprocessableContent if the currency has no such amount."""
    if price_errors := amount_errors(price, currency, "#/price"):
        raise errors.UnprocessableContent.from_errors(price_errors)


def update(product: Product, changes: Mapping[str, Any]) -> None:
    """Update a locked product; raise UnprocessableContent if its currency lacks the new price."""
    if "price" in changes:
        check_price(changes["price"], product.currency)
    db.update(product, changes)


def delete(product: Product) -> None:
    db.delete(product)


def restock(product: Product, quantity: int) -> None:
    """Add to the stock of a locked product; raise Conflict if it is unlimited or would overflow."""
    if product.stock is None:
        raise errors.Conflict("The stock of this product is unlimited.")
    if product.stock + quantity > MAX_STOCK:
        raise errors.Conflict(f"The stock is {product.stock}, and its maximum is {MAX_STOCK}.")
    db.update(product, {"stock": product.stock + quantity})
