"""A client of the service, made by openapi-python-client. Arguments: URL, token."""

import re
import sys
from uuid import uuid4

from alchemist_client import AuthenticatedClient
from alchemist_client.api.ingredients import (
    create_ingredient,
    delete_ingredient,
    get_ingredient,
    list_ingredients,
)
from alchemist_client.api.orders import create_order, pay_order
from alchemist_client.api.potions import create_potion, delete_potion, update_potion
from alchemist_client.api.products import create_product
from alchemist_client.api.stores import create_store
from alchemist_client.models import (
    Currency,
    Ingredient,
    IngredientCreate,
    Order,
    OrderCreate,
    OrderItemCreate,
    Potion,
    PotionCreate,
    PotionIngredientCreate,
    PotionUpdate,
    Problem,
    Product,
    ProductCreate,
    Store,
    StoreCreate,
)
from alchemist_client.types import UNSET, Unset


def check(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(message)
    print(message)


def main(url: str, token: str) -> None:  # noqa: PLR0915  one scenario, as a user writes it
    client = AuthenticatedClient(base_url=url, token=token)

    key = str(uuid4())
    body = IngredientCreate(name=f"Rue {key}")
    rue = create_ingredient.sync(client=client, body=body, idempotency_key=key)
    again = create_ingredient.sync(client=client, body=body, idempotency_key=key)
    assert isinstance(rue, Ingredient)
    check(again == rue, "a repeated POST with its key has one effect")

    for _ in range(2):
        create_ingredient.sync(client=client, body=body)
    names: list[str] = []
    cursor: str | Unset = UNSET
    pages = 0
    while pages == 0 or cursor:
        page = list_ingredients.sync_detailed(client=client, name=body.name, limit=2, cursor=cursor)
        assert isinstance(page.parsed, list)
        names += [row.name for row in page.parsed]
        following = re.search(r'cursor=([^&>]+)>; rel="next"', page.headers["Link"])
        cursor = following[1] if following else UNSET
        pages += 1
    check(pages == 2 and len(names) == 3, "a filtered list has 3 rows on 2 pages")

    honey = create_ingredient.sync(client=client, body=IngredientCreate(name="Honey"))
    assert isinstance(honey, Ingredient)
    entry = PotionIngredientCreate(pk=honey.pk, amount="2.5", unit="g")
    created = create_potion.sync_detailed(
        client=client, body=PotionCreate(name="Slow tea", ingredients=[rue.pk, entry])
    )
    potion = created.parsed
    assert isinstance(potion, Potion)
    etag = created.headers["ETag"]
    changes = PotionUpdate(
        pk=potion.pk, created_at=potion.created_at, description="For the evening."
    )
    patched = update_potion.sync_detailed(potion.pk, client=client, body=changes, if_match=etag)
    assert isinstance(patched.parsed, Potion)
    check(
        patched.parsed.description == "For the evening.",
        "a PATCH with the ETag changes the row, and may send back its read-only fields",
    )

    stale = update_potion.sync(
        potion.pk, client=client, body=PotionUpdate(name="Tea"), if_match=etag
    )
    assert isinstance(stale, Problem)
    assert stale.current
    check(
        stale.code == "precondition-failed" and stale.current["description"] == "For the evening.",
        "a 412 has the current row",
    )

    rue_etag = get_ingredient.sync_detailed(rue.pk, client=client).headers["ETag"]
    conflict = delete_ingredient.sync(rue.pk, client=client, if_match=rue_etag)
    assert isinstance(conflict, Problem)
    check(conflict.status == 409 and conflict.code == "in-use", "a 409 has a code")

    deleted = delete_potion.sync_detailed(
        potion.pk, client=client, if_match=patched.headers["ETag"]
    )
    check(deleted.status_code == 204, "a DELETE with the new ETag is 204")

    store = create_store.sync(
        client=client,
        body=StoreCreate(
            name="The Crooked Ladle",
            street="7 Tallow Lane",
            zipcode="1050",
            city="Brassel",
            country="Belgium",
            currency=Currency.EUR,
        ),
    )
    assert isinstance(store, Store)
    product = create_product.sync(
        client=client,
        body=ProductCreate(store_id=store.pk, name="A pot", price="3.35", stock=10),
    )
    assert isinstance(product, Product)
    cart = OrderCreate(items=[OrderItemCreate(product_id=product.pk, quantity=3)])
    order = create_order.sync(client=client, body=cart, idempotency_key=f"order-{key}")
    assert isinstance(order, Order)
    check(order.totals[0].total == "10.05", "an order is placed, and its total is exact")
    paid = pay_order.sync(order.pk, client=client)
    assert isinstance(paid, Order)
    check(paid.status == "paid", "an order is paid")
    twice = pay_order.sync(order.pk, client=client)
    assert isinstance(twice, Problem)
    assert twice.allowed_transitions
    check(
        twice.code == "wrong-status" and "cancel" in twice.allowed_transitions,
        "a 409 has the allowed transitions",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
