"""The sample data: the contents of its files, and the loader, which is idempotent."""

import re
import time
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    delete,
    func,
    insert,
    select,
    update,
)
from uuid_utils.compat import uuid7

from alchemist.cli import sample_data
from alchemist.domains.audit.models import ACTIONS
from alchemist.domains.coupons.models import Coupon, Redemption
from alchemist.domains.heroes.models import ROLES as HERO_ROLES
from alchemist.domains.heroes.models import Hero
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.orders import pricing
from alchemist.domains.orders.models import TRANSITIONS, Order, OrderItem
from alchemist.domains.potions.models import Potion, PotionIngredient
from alchemist.domains.potions.schemas import EXAMPLE_PK as UNSOLD_POTION
from alchemist.domains.products.models import Product
from alchemist.domains.products.schemas import EXAMPLE_PK as UNSOLD
from alchemist.domains.stores.currencies import CURRENCIES, DECIMALS
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import EXAMPLE_PK as EMPTY_STORE
from alchemist.domains.stores.schemas import HttpUrl
from alchemist.domains.users.models import User
from alchemist.domains.users.permissions import ROLE_PERMISSIONS
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK, EXAMPLE_PK, Email, UserSchema

FIELDS = {
    "ingredients": {"pk", "reference", "name", "description"},
    "potions": {"pk", "reference", "name", "description", "ingredients"},
    "users": {"pk", "email", "full_name", "role"},
    "heroes": {"pk", "nickname", "role", "user_id"},
    "tokens": {"pk", "user_id", "label", "digest", "permissions", "expires_at"},
    "stores": {
        *("pk", "reference", "owner_id", "name", "street", "zipcode", "city", "country"),
        *("currency", "domain", "phone", "email"),
    },
    "products": {
        "pk",
        "reference",
        "store_id",
        "currency",
        "potion_id",
        "name",
        "description",
        "price",
        "stock",
    },
    "coupons": {
        *("pk", "reference", "code", "init_count", "remaining_count", "used_before", "percent_off"),
        *("valid_from", "valid_until", "per_user_limit", "redemptions"),
    },
    "orders": {
        *("pk", "user_id", "hero_id", "redemption_id", "coupon_code", "status", "placed_at"),
        "created_at",
        *("totals", "items"),
    },
    "audit_log": {
        *("pk", "resource", "resource_pk", "action", "fields"),
        *("user_id", "token_id", "request_id"),
    },
}
COUNTS = {
    "ingredients": 80,
    "potions": 50,
    "users": 10,
    "heroes": 8,
    "tokens": 2,
    "stores": 8,
    "products": 61,
    "coupons": 8,
    "orders": 16,
    "audit_log": 6,
}
NOTHING = dict.fromkeys(COUNTS, 0)
TOTAL = sum(COUNTS.values())
# The column with a name that people use, by table.
NAME_COLUMNS = {
    "ingredients": "name",
    "potions": "name",
    "users": "full_name",
    "heroes": "nickname",
    "tokens": "label",
    "stores": "name",
    "products": "name",
    "coupons": "code",
}
# The table that a foreign key column refers to.
TARGETS = {
    "store_id": "stores",
    "potion_id": "potions",
    "ingredient_id": "ingredients",
    "product_id": "products",
    "user_id": "users",
    "owner_id": "users",
    "hero_id": "heroes",
    "order_id": "orders",
}
RECIPE_ITEMS = [
    item for potion in sample_data.sample_rows("potions") for item in potion["ingredients"]
]
PRODUCTS = {row["pk"]: row for row in sample_data.sample_rows("products")}
COUPONS = {row["pk"]: row for row in sample_data.sample_rows("coupons")}
REDEMPTIONS = {
    redemption["pk"]: redemption | {"coupon_id": pk}
    for pk in COUPONS
    for redemption in COUPONS[pk]["redemptions"]
}
ORDERS = {row["pk"]: row for row in sample_data.sample_rows("orders")}
ITEMS = [item for order in ORDERS.values() for item in order["items"]]
CHILD_MODELS = {"redemptions": Redemption, "items": OrderItem, "ingredients": PotionIngredient}

every_table = pytest.mark.parametrize("table_name", sample_data.SAMPLE_TABLES)
every_named_table = pytest.mark.parametrize("table_name", NAME_COLUMNS)
every_described_table = pytest.mark.parametrize(
    "table_name", ["ingredients", "potions", "products"]
)
every_coupon = pytest.mark.parametrize("coupon", COUPONS.values(), ids=lambda row: row["code"])
every_order = pytest.mark.parametrize("order", ORDERS.values(), ids=lambda row: row["pk"])


def is_trimmed_nfc(text: str) -> bool:
    return text == unicodedata.normalize("NFC", text.strip())


def test_every_table_is_described_here():
    difference = COUNTS.keys() ^ sample_data.SAMPLE_TABLES.keys()
    assert not difference, (
        f"{sorted(difference)}: add the table to COUNTS and FIELDS, its references to TARGETS, and "
        "its column with a name to NAME_COLUMNS."
    )
    assert FIELDS.keys() == COUNTS.keys(), "Add the fields of the table to FIELDS."


@pytest.mark.parametrize(("table_name", "count"), COUNTS.items())
def test_every_table_has_its_number_of_rows(table_name: str, count: int):
    assert len(sample_data.sample_rows(table_name)) == count


@every_table
def test_every_row_has_the_fields_of_its_table(table_name: str):
    assert all(row.keys() == FIELDS[table_name] for row in sample_data.sample_rows(table_name))


@every_table
def test_keys_are_uuids_of_version_7_in_ascending_order(table_name: str):
    keys = [UUID(row["pk"]) for row in sample_data.sample_rows(table_name)]
    assert {(key.version, key.variant) for key in keys} == {(7, RFC_4122)}
    assert all(earlier < later for earlier, later in pairwise(keys))


@every_table
def test_keys_are_canonical(table_name: str):
    assert all(row["pk"] == str(UUID(row["pk"])) for row in sample_data.sample_rows(table_name))


@every_table
def test_keys_are_from_the_past(table_name: str):
    seconds = [(UUID(row["pk"]).int >> 80) / 1000 for row in sample_data.sample_rows(table_name)]
    assert all(1_700_000_000 < moment < time.time() for moment in seconds)


@every_named_table
def test_names_are_short_and_unique(table_name: str):
    names = [row[NAME_COLUMNS[table_name]] for row in sample_data.sample_rows(table_name)]
    assert all(1 <= len(name) <= 127 and is_trimmed_nfc(name) for name in names)
    assert len({name.casefold() for name in names}) == len(names)


@every_described_table
def test_descriptions_are_short_and_unique(table_name: str):
    texts = [
        row["description"]
        for row in sample_data.sample_rows(table_name)
        if row["description"] is not None
    ]
    assert all(1 <= len(text) <= 400 and is_trimmed_nfc(text) for text in texts)
    assert len(set(texts)) == len(texts)


def test_some_ingredients_have_no_description():
    missing = [row for row in sample_data.sample_rows("ingredients") if row["description"] is None]
    assert 1 <= len(missing) <= 8


@pytest.mark.parametrize("table_name", ["ingredients", "potions", "users", "heroes", "products"])
def test_names_contain_non_ascii_letters_and_punctuation(table_name: str):
    names = " ".join(row[NAME_COLUMNS[table_name]] for row in sample_data.sample_rows(table_name))
    assert not names.isascii()
    assert {"'", "-"} <= set(names)


@every_table
def test_files_contain_no_unicode_escapes(table_name: str):
    text = (resources.files(sample_data) / f"{table_name}.json").read_text("utf-8")
    assert "\\u" not in text


def test_recipes_have_two_to_nine_different_ingredients():
    for potion in sample_data.sample_rows("potions"):
        keys = [item["ingredient_id"] for item in potion["ingredients"]]
        assert 2 <= len(keys) <= 9, potion["name"]
        assert len(set(keys)) == len(keys), potion["name"]


def test_recipes_refer_to_ingredients_by_their_key_and_name():
    names = {row["pk"]: row["name"] for row in sample_data.sample_rows("ingredients")}
    assert all(names.get(item["ingredient_id"]) == item["name"] for item in RECIPE_ITEMS)


def test_amounts_are_positive_and_have_at_most_three_decimals():
    amounts = [item["amount"] for item in RECIPE_ITEMS if item["amount"] is not None]
    assert all(re.fullmatch(r"\d{1,9}(\.\d{1,3})?", amount) for amount in amounts)
    assert all(float(amount) > 0 for amount in amounts)


def test_units_are_short():
    units = {item["unit"] for item in RECIPE_ITEMS} - {None}
    assert all(1 <= len(unit) <= 16 and is_trimmed_nfc(unit) for unit in units)


def test_some_recipe_items_have_no_amount_or_unit():
    missing = {(item["amount"] is None, item["unit"] is None) for item in RECIPE_ITEMS}
    assert missing == {(False, False), (False, True), (True, True)}


def test_nearly_all_ingredients_are_used():
    used = {item["name"] for item in RECIPE_ITEMS}
    unused = {row["name"] for row in sample_data.sample_rows("ingredients")} - used
    assert "Moonstone dust" in unused
    assert len(unused) <= 5


def test_users_have_lower_case_addresses_in_a_reserved_domain():
    for row in sample_data.sample_rows("users"):
        assert re.fullmatch(r"[a-z]+@alchemist\.example", row["email"])
        assert UserSchema().load({"email": row["email"]}, partial=True) == {"email": row["email"]}
    assert len({row["email"] for row in sample_data.sample_rows("users")}) == COUNTS["users"]


def test_there_are_users_of_every_role():
    assert {row["role"] for row in sample_data.sample_rows("users")} == set(ROLE_PERMISSIONS)


def test_some_heroes_have_no_role_and_some_no_user():
    heroes = sample_data.sample_rows("heroes")
    assert {row["role"] for row in heroes} == {*HERO_ROLES, None}
    assert 1 <= len([row for row in heroes if row["user_id"] is None]) <= 4


@every_table
def test_rows_and_their_children_refer_to_sample_rows(table_name: str):
    keys = {
        name: {row["pk"] for row in sample_data.sample_rows(name)} for name in set(TARGETS.values())
    }
    for row in sample_data.sample_rows(table_name):
        for referrer in (row, *(child for name in CHILD_MODELS for child in row.get(name, ()))):
            for name, target in TARGETS.items():
                assert referrer.get(name) in {*keys[target], None}


def test_the_example_user_has_no_heroes_and_can_be_deleted():
    [customer] = [row for row in sample_data.sample_rows("users") if row["pk"] == EXAMPLE_PK]
    assert customer["role"] == "customer"
    assert EXAMPLE_PK not in {row["user_id"] for row in sample_data.sample_rows("heroes")}
    assert EXAMPLE_PK in {row["user_id"] for row in sample_data.sample_rows("tokens")}


def test_tokens_have_digests_that_look_random():
    digests = [row["digest"] for row in sample_data.sample_rows("tokens")]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert all(len(set(digest)) > 8 for digest in digests)
    assert len(set(digests)) == len(digests)


def test_tokens_have_only_permissions_of_their_users():
    roles = {row["pk"]: row["role"] for row in sample_data.sample_rows("users")}
    for row in sample_data.sample_rows("tokens"):
        assert set(row["permissions"] or ()) <= ROLE_PERMISSIONS[roles[row["user_id"]]]
        assert datetime.fromisoformat(row["expires_at"]) > datetime(2090, 1, 1, tzinfo=UTC)


def test_audit_entries_refer_to_sample_rows_and_their_fields():
    for row in sample_data.sample_rows("audit_log"):
        assert row["resource_pk"] in {
            other["pk"] for other in sample_data.sample_rows(row["resource"])
        }
        assert set(row["fields"]) <= FIELDS[row["resource"]]
        assert row["action"] in ACTIONS


def test_stores_have_many_currencies_and_addresses_in_a_reserved_domain():
    stores = sample_data.sample_rows("stores")
    assert len({row["currency"] for row in stores} & set(CURRENCIES)) >= 6
    for row in stores:
        for field, name in ((HttpUrl(max=255), "domain"), (Email(), "email")):
            assert row[name] is None or field.deserialize(row[name]) == row[name]
            assert row[name] is None or row[name].endswith(".example")


def test_stores_belong_to_merchants_except_for_one_without_owner():
    roles = {row["pk"]: row["role"] for row in sample_data.sample_rows("users")}
    owners = [row["owner_id"] for row in sample_data.sample_rows("stores")]
    assert owners.count(None) == 1
    assert {roles[owner] for owner in owners if owner} == {"merchant"}


def test_prices_have_the_decimals_of_their_currency_and_some_stocks_are_unlimited_or_empty():
    for row in PRODUCTS.values():
        decimals = DECIMALS[row["currency"]]
        assert re.fullmatch(r"[1-9]\d{0,9}(\.\d+)?", row["price"])
        assert row["price"] == f"{Decimal(row['price']):.{decimals}f}"
    stocks = [row["stock"] for row in PRODUCTS.values()]
    assert min(stocks.count(None), stocks.count(0)) >= 3
    assert all(stock is None or stock >= 0 for stock in stocks)


def test_most_potions_are_sold_and_some_products_are_not_potions():
    sold = {row["potion_id"] for row in PRODUCTS.values()}
    assert None in sold
    assert len(sold) > 40
    assert UNSOLD_POTION not in sold


def test_the_rows_that_openapi_examples_delete_are_not_referenced():
    assert EMPTY_STORE not in {row["store_id"] for row in PRODUCTS.values()}
    assert UNSOLD not in {item["product_id"] for item in ITEMS}
    assert PRODUCTS[UNSOLD]["stock"] is not None
    assert EXAMPLE_PK not in {row["user_id"] for row in (*ORDERS.values(), *REDEMPTIONS.values())}


@every_coupon
def test_a_coupon_counts_its_redemptions(coupon: dict[str, Any]):
    live = [row for row in coupon["redemptions"] if row["released_at"] is None]
    used = coupon["used_before"] + len(live)
    assert coupon["init_count"] == used + coupon["remaining_count"]
    assert coupon["remaining_count"] >= 0


@every_coupon
def test_redemptions_follow_the_rules_of_their_coupon(coupon: dict[str, Any]):
    live = [row for row in coupon["redemptions"] if row["released_at"] is None]
    for redemption in live:
        same_user = [row for row in live if row["user_id"] == redemption["user_id"]]
        assert len(same_user) <= (coupon["per_user_limit"] or len(live))
    for redemption in coupon["redemptions"]:
        assert redemption["created_at"] >= (coupon["valid_from"] or "")
        assert redemption["created_at"] < (coupon["valid_until"] or "3000")
        assert redemption["created_at"] < (redemption["released_at"] or "3000")


def test_coupons_cover_every_case():
    now = datetime.now(UTC).isoformat()
    coupons = COUPONS.values()
    assert any(row["remaining_count"] == 0 for row in coupons)
    assert any((row["valid_from"] or "") > now for row in coupons)
    assert any((row["valid_until"] or now) < now for row in coupons)
    assert any(row["per_user_limit"] for row in coupons)
    assert any(row["percent_off"] is None for row in coupons)
    assert any(row["redemptions"] == [] for row in coupons)
    assert any(redemption["released_at"] for redemption in REDEMPTIONS.values())
    assert any(redemption["order_id"] is None for redemption in REDEMPTIONS.values())


def test_orders_and_redemptions_refer_to_each_other():
    orders_by_redemption = {order["redemption_id"]: pk for pk, order in ORDERS.items()}
    orders_of_redemptions = {pk: redemption["order_id"] for pk, redemption in REDEMPTIONS.items()}
    assert orders_by_redemption.items() - {(None, orders_by_redemption[None])} == {
        (pk, order) for pk, order in orders_of_redemptions.items() if order
    }
    for pk, order in orders_of_redemptions.items():
        if order:
            is_cancelled = ORDERS[order]["status"] == "cancelled"
            assert is_cancelled == (REDEMPTIONS[pk]["released_at"] is not None)
            assert REDEMPTIONS[pk]["user_id"] == ORDERS[order]["user_id"]


def test_orders_cover_every_case():
    orders = ORDERS.values()
    assert {order["status"] for order in orders} == set(TRANSITIONS)
    assert any(len(order["totals"]) >= 3 for order in orders)
    assert {item["currency"] for item in ITEMS} == {"CHF", "EUR", "GBP", "JPY", "SEK", "USD"}
    pairs = {(bool(order["hero_id"]), bool(order["redemption_id"])) for order in orders}
    assert len(pairs) == 4


@every_order
def test_an_order_has_the_prices_that_placing_it_would_give(order: dict[str, Any]):
    redemption = REDEMPTIONS.get(order["redemption_id"])
    percentage = COUPONS[redemption["coupon_id"]]["percent_off"] if redemption else 0
    prices = [
        pricing.ItemPrice(
            item["currency"],
            pricing.to_minor_units(Decimal(item["unit_price"]), item["currency"])
            * item["quantity"],
        )
        for item in order["items"]
    ]
    pricing.apply_discount(prices, percentage)
    assert order["totals"] == pricing.calculate_totals(prices)
    assert [(item["discount"], item["total"]) for item in order["items"]] == [
        tuple(
            f"{pricing.from_minor_units(amount, price.currency):f}"
            for amount in (price.discount, price.total)
        )
        for price in prices
    ]


@every_order
def test_an_item_has_the_price_and_currency_of_its_product(order: dict[str, Any]):
    currencies = {row["pk"]: row["currency"] for row in sample_data.sample_rows("stores")}
    for item in order["items"]:
        product = PRODUCTS[item["product_id"]]
        assert (item["name"], item["unit_price"]) == (product["name"], product["price"])
        assert item["currency"] == product["currency"] == currencies[product["store_id"]]
        assert item["taken"] == (0 if product["stock"] is None else item["quantity"])


@every_order
def test_an_order_is_for_a_hero_of_its_user_and_its_key_has_the_time_of_placing(order):
    owners = {row["pk"]: row["user_id"] for row in sample_data.sample_rows("heroes")}
    assert order["hero_id"] is None or owners[order["hero_id"]] == order["user_id"]
    placed = datetime.fromisoformat(order["placed_at"]).timestamp()
    assert UUID(order["pk"]).int >> 80 == int(placed * 1000)
    assert order["created_at"] == order["placed_at"]


@pytest.fixture
def url(fresh_database: URL) -> URL:
    return fresh_database


@pytest.fixture
def engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)


def ingredient_rows(connection: Connection) -> list[tuple[Any, ...]]:
    columns = (Ingredient.pk, Ingredient.name, Ingredient.description)
    return [tuple(row) for row in connection.execute(select(*columns).order_by(Ingredient.pk))]


def recipe_rows(connection: Connection) -> list[tuple[Any, ...]]:
    item = (PotionIngredient.ingredient_id, PotionIngredient.amount, PotionIngredient.unit)
    columns = select(Potion.pk, Potion.name, Potion.description, *item)
    order = (Potion.pk, PotionIngredient.position)
    result = connection.execute(columns.join(PotionIngredient).order_by(*order))
    return [tuple(row) for row in result]


def test_ingredients_and_potions_are_inserted_as_in_the_files(url: URL, engine: Engine):
    assert sample_data.load_missing(url) == COUNTS
    with engine.connect() as connection:
        assert ingredient_rows(connection) == [
            (UUID(row["pk"]), row["name"], row["description"])
            for row in sample_data.sample_rows("ingredients")
        ]
        assert recipe_rows(connection) == [
            (
                UUID(potion["pk"]),
                potion["name"],
                potion["description"],
                UUID(item["ingredient_id"]),
                item["amount"] and Decimal(item["amount"]),
                item["unit"],
            )
            for potion in sample_data.sample_rows("potions")
            for item in potion["ingredients"]
        ]


def test_all_other_tables_are_inserted_as_in_the_files(url: URL, engine: Engine):
    sample_data.load_missing(url)
    with engine.connect() as connection:
        for table_name in FIELDS.keys() - {"ingredients", "potions"}:
            fields = FIELDS[table_name] - CHILD_MODELS.keys()
            expected = [
                {name: row[name] for name in fields} for row in sample_data.sample_rows(table_name)
            ]
            assert (
                stored_rows(connection, sample_data.SAMPLE_TABLES[table_name].model, fields)
                == expected
            )


@pytest.mark.parametrize(("table_name", "name"), [("coupons", "redemptions"), ("orders", "items")])
def test_redemptions_and_items_are_inserted_as_in_the_files(
    url: URL, engine: Engine, table_name: str, name: str
):
    sample_data.load_missing(url)
    children = [child for row in sample_data.sample_rows(table_name) for child in row[name]]
    fields = children[0].keys() - {"name"}
    expected = [{field: child[field] for field in fields} for child in children]
    with engine.connect() as connection:
        actual = stored_rows(connection, CHILD_MODELS[name], fields)
    # The file lists redemptions by coupon, not in the order of their keys.
    assert sorted(actual, key=str) == sorted(expected, key=str)


def stored_rows(connection: Connection, model: Any, fields: Iterable[str]) -> list[dict[str, Any]]:
    table = model.__table__
    rows = connection.execute(select(table).order_by(*table.primary_key)).mappings()
    return [to_json_values({name: row[name] for name in fields}) for row in rows]


def to_json_values(row: dict[str, Any]) -> dict[str, Any]:
    return {name: to_json_value(value) for name, value in row.items()}


def to_json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, UUID | Decimal) else value


def test_loading_again_changes_nothing(url: URL, engine: Engine):
    sample_data.load_missing(url)
    with engine.connect() as connection:
        before = ingredient_rows(connection), recipe_rows(connection)
    assert sample_data.load_missing(url) == NOTHING
    with engine.connect() as connection:
        assert (ingredient_rows(connection), recipe_rows(connection)) == before


def test_progress_increases_up_to_the_total(url: URL):
    calls: list[tuple[int, int]] = []
    sample_data.load_missing(url, lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert len(done) > 5
    assert done == sorted(set(done))
    assert {total for _, total in calls} == {TOTAL}
    assert calls[-1] == (TOTAL, TOTAL)


def test_interrupted_loading_inserts_nothing(url: URL, engine: Engine):
    def interrupt(done: int, _total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_data.load_missing(url, interrupt)
    with engine.connect() as connection:
        assert (ingredient_rows(connection), recipe_rows(connection)) == ([], [])


def test_an_edited_potion_is_not_changed(url: URL, engine: Engine):
    sample_data.load_missing(url)
    key = next(
        UUID(row["pk"]) for row in sample_data.sample_rows("potions") if row["name"] == "Slow Tea"
    )
    with engine.begin() as connection:
        connection.execute(update(Potion).where(Potion.pk == key).values(name="Quick Tea"))
        last_items = (PotionIngredient.potion_id == key, PotionIngredient.position > 1)
        connection.execute(delete(PotionIngredient).where(*last_items))
        edited = recipe_rows(connection)
    assert sample_data.load_missing(url) == NOTHING
    with engine.connect() as connection:
        assert recipe_rows(connection) == edited


def test_a_deleted_potion_is_inserted_again_with_its_ingredients(url: URL, engine: Engine):
    sample_data.load_missing(url)
    with engine.begin() as connection:
        before = recipe_rows(connection)
        connection.execute(delete(Potion).where(Potion.pk == UUID(UNSOLD_POTION)))
    assert sample_data.load_missing(url) == NOTHING | {"potions": 1}
    with engine.connect() as connection:
        assert recipe_rows(connection) == before


def test_deleted_potions_and_ingredients_are_inserted_again_together(url: URL, engine: Engine):
    sample_data.load_missing(url)
    with engine.begin() as connection:
        before = recipe_rows(connection)
        for model in (Order, Product, Potion):
            connection.execute(delete(model))
        connection.execute(delete(Ingredient).where(Ingredient.name == "Blackcurrant leaf"))
    deleted = {"potions": 50, "products": COUNTS["products"], "orders": COUNTS["orders"]}
    assert sample_data.load_missing(url) == NOTHING | {"ingredients": 1} | deleted
    with engine.connect() as connection:
        assert recipe_rows(connection) == before


def test_another_ingredient_with_a_sample_name_is_not_changed(url: URL, engine: Engine):
    ingredient = (uuid7(), "Moonstone dust", "Not a sample.")
    with engine.begin() as connection:
        values = dict(zip(("pk", "name", "description"), ingredient, strict=True))
        connection.execute(insert(Ingredient).values(values))
    assert sample_data.load_missing(url) == COUNTS
    with engine.connect() as connection:
        assert ingredient in ingredient_rows(connection)


def test_another_user_with_a_sample_address_is_kept_and_unrelated_rows_are_inserted(
    url: URL, engine: Engine
):
    pk = uuid7()
    address = "bartholomew@alchemist.example"
    with engine.begin() as connection:
        user = {"pk": pk, "email": address, "full_name": "Not a sample"}
        connection.execute(insert(User).values(user))
    expected = {
        table_name: count_of_other_users(table_name, EXAMPLE_OWNER_PK)
        for table_name in ("heroes", "orders")
    }
    skipped_coupons = {
        REDEMPTIONS[pk]["coupon_id"]
        for pk in REDEMPTIONS
        if REDEMPTIONS[pk]["user_id"] == EXAMPLE_OWNER_PK
    }
    assert (
        sample_data.load_missing(url)
        == COUNTS | {"users": 9, "coupons": 8 - len(skipped_coupons)} | expected
    )
    assert sample_data.load_missing(url) == NOTHING
    with engine.connect() as connection:
        assert connection.scalar(select(User.pk).where(User.email == address)) == pk


def count_of_other_users(table_name: str, user_id: str) -> int:
    return len([row for row in sample_data.sample_rows(table_name) if row["user_id"] != user_id])


CONFLICTING_ROWS = [
    (User, {"email": "ines@alchemist.example", "full_name": "Not a sample"}),
    (User, {"email": "sunniva@alchemist.example", "full_name": "Not a sample"}),
    (Hero, {"nickname": "Captain Hobnail"}),
    (Coupon, {"code": "WELCOME10", "init_count": 1, "remaining_count": 1}),
]


@pytest.mark.parametrize(
    ("model", "values"), CONFLICTING_ROWS, ids=["merchant", "customer", "hero", "coupon"]
)
def test_conflicting_rows_leave_consistent_data_and_loading_completes_without_them(
    url: URL, engine: Engine, model: Any, values: dict[str, Any]
):
    row = {"pk": uuid7(), **values}
    with engine.begin() as connection:
        connection.execute(insert(model).values(row))
    first = sample_data.load_missing(url)
    with engine.begin() as connection:
        assert inconsistencies(connection) == []
        connection.execute(delete(model).where(model.pk == row["pk"]))
    second = sample_data.load_missing(url)
    assert 0 < second["orders"] < COUNTS["orders"]
    assert {table_name: first[table_name] + second[table_name] for table_name in first} == COUNTS
    with engine.connect() as connection:
        assert inconsistencies(connection) == []


def inconsistencies(connection: Connection) -> list[UUID]:
    """Return coupons with a wrong count, and redemptions of missing orders."""
    live = select(func.count()).where(
        Redemption.coupon_id == Coupon.pk, Redemption.released_at.is_(None)
    )
    used = Coupon.used_before + live.scalar_subquery()
    wrong = select(Coupon.pk).where(Coupon.init_count - Coupon.remaining_count != used)
    orphaned = select(Redemption.pk).where(Redemption.order_id.not_in(select(Order.pk)))
    return [*connection.scalars(wrong), *connection.scalars(orphaned)]


def test_the_stock_of_a_sold_product_is_not_changed(url: URL, engine: Engine):
    sample_data.load_missing(url)
    sold = update(Product).where(Product.pk == UUID(UNSOLD)).values(stock=Product.stock - 1)
    with engine.begin() as connection:
        connection.execute(sold)
    assert sample_data.load_missing(url) == NOTHING
    with engine.connect() as connection:
        stock = connection.scalar(select(Product.stock).where(Product.pk == UUID(UNSOLD)))
    assert stock == PRODUCTS[UNSOLD]["stock"] - 1


def test_a_deleted_store_is_inserted_again(url: URL, engine: Engine):
    sample_data.load_missing(url)
    with engine.begin() as connection:
        connection.execute(delete(Store).where(Store.pk == UUID(EMPTY_STORE)))
    assert sample_data.load_missing(url) == NOTHING | {"stores": 1}


def test_another_hero_with_a_sample_nickname_is_kept(url: URL, engine: Engine):
    pk = uuid7()
    with engine.begin() as connection:
        connection.execute(insert(Hero).values(pk=pk, nickname="Old Jory"))
    assert sample_data.load_missing(url) == COUNTS | {"heroes": 7}
    with engine.connect() as connection:
        assert connection.scalar(select(Hero.pk).where(Hero.nickname == "Old Jory")) == pk


def test_a_deleted_user_is_inserted_again_with_their_tokens(url: URL, engine: Engine):
    sample_data.load_missing(url)
    with engine.begin() as connection:
        connection.execute(delete(User).where(User.pk == UUID(EXAMPLE_PK)))
    assert sample_data.load_missing(url) == NOTHING | {"users": 1, "tokens": 2}


def test_concurrent_loads_insert_every_row_once(url: URL):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(sample_data.load_missing, [url, url])
    added = {table_name: first[table_name] + second[table_name] for table_name in first}
    assert added == COUNTS
