"""What can be done with products."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import db, errors
from alchemist.filters import has_words
from alchemist.stores.models import Store

from .models import WORDS, Product

MOST_STOCK = 1_000_000_000


@db.query
def get(pk: UUID, *, owner: UUID | None = None) -> Select[Any]:
    found = select(Product).where(Product.pk == pk)
    if owner is not None:
        found = found.where(Product.store_id.in_(of_owner(owner)))
    return found


def of_owner(owner: Any) -> Select[Any]:
    """Return the keys of the stores that somebody owns."""
    return select(Store.pk).where(Store.owner_id == owner)


@db.query
def browse(
    *,
    store_id: UUID | None = None,
    potion_id: UUID | None = None,
    min_price: Decimal | None = None,
    max_price: Decimal | None = None,
    in_stock: bool | None = None,
    q: str | None = None,
) -> Select[Any]:
    found = select(Product)
    if store_id is not None:
        found = found.where(Product.store_id == store_id)
    if potion_id is not None:
        found = found.where(Product.potion_id == potion_id)
    if min_price is not None:
        found = found.where(Product.price >= min_price)
    if max_price is not None:
        found = found.where(Product.price <= max_price)
    if in_stock is not None:
        found = found.where(Product.in_stock == in_stock)
    if q is not None:
        found = found.where(has_words(WORDS, q))
    return found


def create(**values: Any) -> Product:
    return Product(**values)


def update(product: Product, changes: Mapping[str, Any]) -> None:
    db.change(product, changes)


def delete(product: Product) -> None:
    db.remove(product)


def restock(product: Product, quantity: int) -> None:
    """Add to the stock of a product that is held, so that nothing taken meanwhile is lost."""
    if product.stock is None:
        raise errors.Conflict("The stock of this product is unlimited.")
    if product.stock + quantity > MOST_STOCK:
        raise errors.Conflict(f"The stock is {product.stock}, and at most {MOST_STOCK} fit.")
    db.change(product, {"stock": product.stock + quantity})
