"""The example apothecary: what its files may say, and that loading them repeats harmlessly."""

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
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import CURRENCIES, HttpUrl
from alchemist.domains.stores.schemas import EXAMPLE_PK as EMPTY_STORE
from alchemist.domains.users.models import User
from alchemist.domains.users.permissions import ROLE_PERMISSIONS
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK, EXAMPLE_PK, Email, UserSchema

FIELDS = {
    "ingredients": {"pk", "name", "description"},
    "potions": {"pk", "name", "description", "ingredients"},
    "users": {"pk", "email", "full_name", "role"},
    "heroes": {"pk", "nickname", "role", "user_id"},
    "tokens": {"pk", "user_id", "label", "digest", "permissions", "expires_at"},
    "stores": {
        *("pk", "owner_id", "name", "street", "zipcode", "city", "country"),
        *("currency", "domain", "phone", "email"),
    },
    "products": {"pk", "store_id", "potion_id", "name", "description", "price", "stock"},
    "coupons": {
        *("pk", "code", "init_count", "remaining_count", "used_before", "percent_off"),
        *("valid_from", "valid_until", "per_user_limit", "redemptions"),
    },
    "orders": {
        *("pk", "user_id", "hero_id", "redemption_id", "status", "placed_at", "created_at"),
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
NONE = dict.fromkeys(COUNTS, 0)
TOTAL = 249
# What people call the rows of a kind by, where they have a name.
NAMES = {
    "ingredients": "name",
    "potions": "name",
    "users": "full_name",
    "heroes": "nickname",
    "tokens": "label",
    "stores": "name",
    "products": "name",
    "coupons": "code",
}
# Which kind a key of that name is of; of others it is its own.
TARGETS = {
    "store_id": "stores",
    "potion_id": "potions",
    "product_id": "products",
    "user_id": "users",
    "owner_id": "users",
    "hero_id": "heroes",
    "order_id": "orders",
}
LINES = [line for potion in sample_data.rows("potions") for line in potion["ingredients"]]
PRODUCTS = {row["pk"]: row for row in sample_data.rows("products")}
COUPONS = {row["pk"]: row for row in sample_data.rows("coupons")}
REDEMPTIONS = {
    line["pk"]: line | {"coupon_id": pk} for pk in COUPONS for line in COUPONS[pk]["redemptions"]
}
ORDERS = {row["pk"]: row for row in sample_data.rows("orders")}
ITEMS = [item for order in ORDERS.values() for item in order["items"]]
LEDGERS = {"redemptions": Redemption, "items": OrderItem}

every_kind = pytest.mark.parametrize("kind", sample_data.SAMPLE_TABLES)
every_named_kind = pytest.mark.parametrize("kind", NAMES)
every_described_kind = pytest.mark.parametrize("kind", ["ingredients", "potions", "products"])
every_coupon = pytest.mark.parametrize("coupon", COUPONS.values(), ids=lambda row: row["code"])
every_order = pytest.mark.parametrize("order", ORDERS.values(), ids=lambda row: row["pk"])


def is_stored_form(text: str) -> bool:
    return text == unicodedata.normalize("NFC", text.strip())


@pytest.mark.parametrize(("kind", "count"), COUNTS.items())
def test_the_shop_is_well_stocked(kind: str, count: int):
    assert len(sample_data.rows(kind)) == count


@every_kind
def test_every_row_has_the_fields_of_its_kind(kind: str):
    assert all(row.keys() == FIELDS[kind] for row in sample_data.rows(kind))


@every_kind
def test_keys_are_of_version_7_and_rise(kind: str):
    keys = [UUID(row["pk"]) for row in sample_data.rows(kind)]
    assert {(key.version, key.variant) for key in keys} == {(7, RFC_4122)}
    assert all(earlier < later for earlier, later in pairwise(keys))


@every_kind
def test_keys_are_in_their_canonical_form(kind: str):
    assert all(row["pk"] == str(UUID(row["pk"])) for row in sample_data.rows(kind))


@every_kind
def test_keys_are_older_than_the_rows_of_any_user(kind: str):
    seconds = [(UUID(row["pk"]).int >> 80) / 1000 for row in sample_data.rows(kind)]
    assert all(1_700_000_000 < moment < time.time() for moment in seconds)


@every_named_kind
def test_names_are_short_and_unique(kind: str):
    names = [row[NAMES[kind]] for row in sample_data.rows(kind)]
    assert all(1 <= len(name) <= 127 and is_stored_form(name) for name in names)
    assert len({name.casefold() for name in names}) == len(names)


@every_described_kind
def test_descriptions_fit_on_a_label(kind: str):
    texts = [row["description"] for row in sample_data.rows(kind) if row["description"] is not None]
    assert all(1 <= len(text) <= 400 and is_stored_form(text) for text in texts)
    assert len(set(texts)) == len(texts)


def test_some_ingredients_have_no_description():
    missing = [row for row in sample_data.rows("ingredients") if row["description"] is None]
    assert 1 <= len(missing) <= 8


@pytest.mark.parametrize("kind", ["ingredients", "potions", "users", "heroes", "products"])
def test_names_go_beyond_ascii_and_letters(kind: str):
    names = " ".join(row[NAMES[kind]] for row in sample_data.rows(kind))
    assert not names.isascii()
    assert {"'", "-"} <= set(names)


@every_kind
def test_files_show_letters_and_not_their_escapes(kind: str):
    text = (resources.files(sample_data) / f"{kind}.json").read_text("utf-8")
    assert "\\u" not in text


def test_recipes_have_two_to_nine_different_ingredients():
    for potion in sample_data.rows("potions"):
        keys = [line["pk"] for line in potion["ingredients"]]
        assert 2 <= len(keys) <= 9, potion["name"]
        assert len(set(keys)) == len(keys), potion["name"]


def test_recipes_refer_to_ingredients_by_their_key_and_name():
    shelf = {row["pk"]: row["name"] for row in sample_data.rows("ingredients")}
    assert all(shelf.get(line["pk"]) == line["name"] for line in LINES)


def test_amounts_are_positive_and_have_at_most_three_decimals():
    amounts = [line["amount"] for line in LINES if line["amount"] is not None]
    assert all(re.fullmatch(r"\d{1,9}(\.\d{1,3})?", amount) for amount in amounts)
    assert all(float(amount) > 0 for amount in amounts)


def test_units_are_short():
    units = {line["unit"] for line in LINES} - {None}
    assert all(1 <= len(unit) <= 16 and is_stored_form(unit) for unit in units)


def test_some_lines_leave_amount_or_unit_open():
    open_ends = {(line["amount"] is None, line["unit"] is None) for line in LINES}
    assert open_ends == {(False, False), (False, True), (True, True)}


def test_all_but_a_handful_of_ingredients_are_used():
    used = {line["name"] for line in LINES}
    unused = {row["name"] for row in sample_data.rows("ingredients")} - used
    assert "Moonstone dust" in unused
    assert len(unused) <= 5


def test_users_have_addresses_that_lead_nowhere_and_are_stored_in_lower_case():
    for row in sample_data.rows("users"):
        assert re.fullmatch(r"[a-z]+@alchemist\.example", row["email"])
        assert UserSchema().load({"email": row["email"]}, partial=True) == {"email": row["email"]}
    assert len({row["email"] for row in sample_data.rows("users")}) == COUNTS["users"]


def test_there_are_users_of_every_role():
    assert {row["role"] for row in sample_data.rows("users")} == set(ROLE_PERMISSIONS)


def test_heroes_have_different_roles_and_some_none_and_some_nobody():
    heroes = sample_data.rows("heroes")
    assert {row["role"] for row in heroes} == {*HERO_ROLES, None}
    assert 1 <= len([row for row in heroes if row["user_id"] is None]) <= 4


@every_kind
def test_what_rows_and_their_lines_refer_to_are_examples(kind: str):
    keys = {name: {row["pk"] for row in sample_data.rows(name)} for name in set(TARGETS.values())}
    for row in sample_data.rows(kind):
        for part in (row, *row.get("items", ()), *row.get("redemptions", ())):
            for name, target in TARGETS.items():
                assert part.get(name) in {*keys[target], None}


def test_a_customer_has_no_heroes_and_can_be_deleted():
    [percival] = [row for row in sample_data.rows("users") if row["pk"] == EXAMPLE_PK]
    assert percival["role"] == "customer"
    assert EXAMPLE_PK not in {row["user_id"] for row in sample_data.rows("heroes")}
    assert EXAMPLE_PK in {row["user_id"] for row in sample_data.rows("tokens")}


def test_tokens_have_digests_that_look_random():
    digests = [row["digest"] for row in sample_data.rows("tokens")]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert all(len(set(digest)) > 8 for digest in digests)
    assert len(set(digests)) == len(digests)


def test_tokens_permit_no_more_than_their_users_may():
    roles = {row["pk"]: row["role"] for row in sample_data.rows("users")}
    for row in sample_data.rows("tokens"):
        assert set(row["permissions"] or ()) <= ROLE_PERMISSIONS[roles[row["user_id"]]]
        assert datetime.fromisoformat(row["expires_at"]) > datetime(2090, 1, 1, tzinfo=UTC)


def test_the_audit_log_tells_of_examples_and_of_fields_that_they_have():
    for row in sample_data.rows("audit_log"):
        assert row["resource_pk"] in {other["pk"] for other in sample_data.rows(row["resource"])}
        assert set(row["fields"]) <= FIELDS[row["resource"]]
        assert row["action"] in ACTIONS


def test_stores_are_in_many_currencies_and_their_addresses_lead_nowhere():
    stores = sample_data.rows("stores")
    assert len({row["currency"] for row in stores} & set(CURRENCIES)) >= 6
    for row in stores:
        for field, name in ((HttpUrl(max=255), "domain"), (Email(), "email")):
            assert row[name] is None or field.deserialize(row[name]) == row[name]
            assert row[name] is None or row[name].endswith(".example")


def test_stores_belong_to_merchants_and_one_to_nobody():
    roles = {row["pk"]: row["role"] for row in sample_data.rows("users")}
    owners = [row["owner_id"] for row in sample_data.rows("stores")]
    assert owners.count(None) == 1
    assert {roles[owner] for owner in owners if owner} == {"merchant"}


def test_prices_are_exact_and_some_stocks_are_unlimited_or_gone():
    for row in PRODUCTS.values():
        assert re.fullmatch(r"[1-9]\d{0,9}\.\d\d", row["price"])
    stocks = [row["stock"] for row in PRODUCTS.values()]
    assert min(stocks.count(None), stocks.count(0)) >= 3
    assert all(stock is None or stock >= 0 for stock in stocks)


def test_most_potions_are_for_sale_and_some_goods_are_no_potions():
    sold = {row["potion_id"] for row in PRODUCTS.values()}
    assert None in sold
    assert len(sold) > 40
    assert UNSOLD_POTION not in sold


def test_what_the_documents_delete_is_in_nobodys_way():
    assert EMPTY_STORE not in {row["store_id"] for row in PRODUCTS.values()}
    assert UNSOLD not in {item["product_id"] for item in ITEMS}
    assert PRODUCTS[UNSOLD]["stock"] is not None
    assert EXAMPLE_PK not in {row["user_id"] for row in (*ORDERS.values(), *REDEMPTIONS.values())}


@every_coupon
def test_a_coupon_counts_what_was_used(coupon: dict[str, Any]):
    live = [line for line in coupon["redemptions"] if line["released_at"] is None]
    used = coupon["used_before"] + len(live)
    assert coupon["init_count"] == used + coupon["remaining_count"]
    assert coupon["remaining_count"] >= 0


@every_coupon
def test_a_coupon_was_redeemed_as_its_rules_allow(coupon: dict[str, Any]):
    live = [line for line in coupon["redemptions"] if line["released_at"] is None]
    for line in live:
        mine = [other for other in live if other["user_id"] == line["user_id"]]
        assert len(mine) <= (coupon["per_user_limit"] or len(live))
    for line in coupon["redemptions"]:
        assert line["created_at"] >= (coupon["valid_from"] or "")
        assert line["created_at"] < (coupon["valid_until"] or "3000")
        assert line["created_at"] < (line["released_at"] or "3000")


def test_coupons_are_of_all_sorts():
    now = datetime.now(UTC).isoformat()
    coupons = COUPONS.values()
    assert any(row["remaining_count"] == 0 for row in coupons)
    assert any((row["valid_from"] or "") > now for row in coupons)
    assert any((row["valid_until"] or now) < now for row in coupons)
    assert any(row["per_user_limit"] for row in coupons)
    assert any(row["percent_off"] is None for row in coupons)
    assert any(row["redemptions"] == [] for row in coupons)
    assert any(line["released_at"] for line in REDEMPTIONS.values())
    assert any(line["order_id"] is None for line in REDEMPTIONS.values())


def test_orders_and_redemptions_name_each_other():
    of_orders = {order["redemption_id"]: pk for pk, order in ORDERS.items()}
    of_redemptions = {pk: line["order_id"] for pk, line in REDEMPTIONS.items()}
    assert of_orders.items() - {(None, of_orders[None])} == {
        (pk, order) for pk, order in of_redemptions.items() if order
    }
    for pk, order in of_redemptions.items():
        if order:
            is_cancelled = ORDERS[order]["status"] == "cancelled"
            assert is_cancelled == (REDEMPTIONS[pk]["released_at"] is not None)
            assert REDEMPTIONS[pk]["user_id"] == ORDERS[order]["user_id"]


def test_orders_are_of_all_sorts():
    orders = ORDERS.values()
    assert {order["status"] for order in orders} == set(TRANSITIONS)
    assert any(len(order["totals"]) >= 3 for order in orders)
    assert {item["currency"] for item in ITEMS} == {"CHF", "EUR", "GBP", "JPY", "SEK", "USD"}
    pairs = {(bool(order["hero_id"]), bool(order["redemption_id"])) for order in orders}
    assert len(pairs) == 4


@every_order
def test_an_order_costs_what_placing_it_would(order: dict[str, Any]):
    redemption = REDEMPTIONS.get(order["redemption_id"])
    percentage = COUPONS[redemption["coupon_id"]]["percent_off"] if redemption else 0
    charges = [
        pricing.ItemPrice(
            item["currency"], pricing.to_cents(Decimal(item["unit_price"])) * item["quantity"]
        )
        for item in order["items"]
    ]
    pricing.apply_discount(charges, percentage)
    assert order["totals"] == pricing.calculate_totals(charges)
    assert [(item["discount"], item["total"]) for item in order["items"]] == [
        (f"{pricing.from_cents(charge.discount):.2f}", f"{pricing.from_cents(charge.total):.2f}")
        for charge in charges
    ]


@every_order
def test_a_line_sells_a_product_as_its_store_does(order: dict[str, Any]):
    currencies = {row["pk"]: row["currency"] for row in sample_data.rows("stores")}
    for item in order["items"]:
        product = PRODUCTS[item["product_id"]]
        assert (item["name"], item["unit_price"]) == (product["name"], product["price"])
        assert item["currency"] == currencies[product["store_id"]]
        assert item["taken"] == (0 if product["stock"] is None else item["quantity"])


@every_order
def test_an_order_is_for_a_hero_of_its_user_and_was_placed_when_its_key_was_made(order):
    owners = {row["pk"]: row["user_id"] for row in sample_data.rows("heroes")}
    assert order["hero_id"] is None or owners[order["hero_id"]] == order["user_id"]
    placed = datetime.fromisoformat(order["placed_at"]).timestamp()
    assert UUID(order["pk"]).int >> 80 == int(placed * 1000)
    assert order["created_at"] == order["placed_at"]


def test_a_key_is_found_by_its_name():
    key = sample_data.pk("ingredients", "Moonstone dust")
    [row] = [row for row in sample_data.rows("ingredients") if row["pk"] == key]
    assert row["name"] == "Moonstone dust"


def test_a_name_that_is_no_example_has_no_key():
    with pytest.raises(KeyError, match="Philosopher's stone"):
        sample_data.pk("ingredients", "Philosopher's stone")


@pytest.fixture
def url(fresh_database: URL) -> URL:
    return fresh_database


@pytest.fixture
def engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)


def load(url: URL) -> dict[str, int]:
    return sample_data.load(url, lambda _done, _total: None)


def shelf(connection: Connection) -> list[tuple[Any, ...]]:
    columns = (Ingredient.pk, Ingredient.name, Ingredient.description)
    return [tuple(row) for row in connection.execute(select(*columns).order_by(Ingredient.pk))]


def recipes(connection: Connection) -> list[tuple[Any, ...]]:
    line = (PotionIngredient.ingredient_id, PotionIngredient.amount, PotionIngredient.unit)
    columns = select(Potion.pk, Potion.name, Potion.description, *line)
    order = (Potion.pk, PotionIngredient.position)
    found = connection.execute(columns.join(PotionIngredient).order_by(*order))
    return [tuple(row) for row in found]


def test_what_is_loaded_is_what_the_files_say(url: URL, engine: Engine):
    assert load(url) == COUNTS
    with engine.connect() as connection:
        assert shelf(connection) == [
            (UUID(row["pk"]), row["name"], row["description"])
            for row in sample_data.rows("ingredients")
        ]
        assert recipes(connection) == [
            (
                UUID(potion["pk"]),
                potion["name"],
                potion["description"],
                UUID(line["pk"]),
                line["amount"] and Decimal(line["amount"]),
                line["unit"],
            )
            for potion in sample_data.rows("potions")
            for line in potion["ingredients"]
        ]


def test_people_and_the_market_are_stored_as_the_files_say(url: URL, engine: Engine):
    load(url)
    with engine.connect() as connection:
        for kind in FIELDS.keys() - {"ingredients", "potions"}:
            fields = FIELDS[kind] - LEDGERS.keys()
            told = [{name: row[name] for name in fields} for row in sample_data.rows(kind)]
            assert stored(connection, sample_data.SAMPLE_TABLES[kind].model, fields) == told


@pytest.mark.parametrize(("kind", "name"), [("coupons", "redemptions"), ("orders", "items")])
def test_ledgers_are_stored_as_the_files_say(url: URL, engine: Engine, kind: str, name: str):
    load(url)
    lines = [line for row in sample_data.rows(kind) for line in row[name]]
    fields = lines[0].keys() - {"name"}
    told = [{field: line[field] for field in fields} for line in lines]
    with engine.connect() as connection:
        found = stored(connection, LEDGERS[name], fields)
    # Redemptions stand below their coupons in the file, and have keys of their own.
    assert sorted(found, key=str) == sorted(told, key=str)


def stored(connection: Connection, model: Any, fields: Iterable[str]) -> list[dict[str, Any]]:
    table = model.__table__
    rows = connection.execute(select(table).order_by(*table.primary_key)).mappings()
    return [stored_as_text({name: row[name] for name in fields}) for row in rows]


def stored_as_text(row: dict[str, Any]) -> dict[str, Any]:
    return {name: as_text(value) for name, value in row.items()}


def as_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, UUID | Decimal) else value


def test_loading_again_adds_and_changes_nothing(url: URL, engine: Engine):
    load(url)
    with engine.connect() as connection:
        before = shelf(connection), recipes(connection)
    assert load(url) == NONE
    with engine.connect() as connection:
        assert (shelf(connection), recipes(connection)) == before


def test_progress_rises_to_the_number_of_all_rows(url: URL):
    seen: list[tuple[int, int]] = []
    sample_data.load(url, lambda done, total: seen.append((done, total)))
    done = [moment[0] for moment in seen]
    assert len(done) > 5
    assert done == sorted(set(done))
    assert {total for _, total in seen} == {TOTAL}
    assert seen[-1] == (TOTAL, TOTAL)


def test_loading_that_is_broken_off_leaves_nothing(url: URL, engine: Engine):
    def break_off(done: int, _total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_data.load(url, break_off)
    with engine.connect() as connection:
        assert (shelf(connection), recipes(connection)) == ([], [])


def test_a_changed_potion_keeps_its_change(url: URL, engine: Engine):
    load(url)
    key = UUID(sample_data.pk("potions", "Slow Tea"))
    with engine.begin() as connection:
        connection.execute(update(Potion).where(Potion.pk == key).values(name="Quick Tea"))
        last = (PotionIngredient.potion_id == key, PotionIngredient.position > 1)
        connection.execute(delete(PotionIngredient).where(*last))
        changed = recipes(connection)
    assert load(url) == NONE
    with engine.connect() as connection:
        assert recipes(connection) == changed


def test_a_deleted_potion_comes_back_with_its_recipe(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        whole = recipes(connection)
        connection.execute(delete(Potion).where(Potion.pk == UUID(UNSOLD_POTION)))
    assert load(url) == NONE | {"potions": 1}
    with engine.connect() as connection:
        assert recipes(connection) == whole


def test_a_potion_comes_back_together_with_its_deleted_ingredients(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        whole = recipes(connection)
        for model in (Order, Product, Potion):
            connection.execute(delete(model))
        connection.execute(delete(Ingredient).where(Ingredient.name == "Blackcurrant leaf"))
    sold = {"potions": 50, "products": COUNTS["products"], "orders": COUNTS["orders"]}
    assert load(url) == NONE | {"ingredients": 1} | sold
    with engine.connect() as connection:
        assert recipes(connection) == whole


def test_an_ingredient_of_a_user_with_an_example_name_is_left_alone(url: URL, engine: Engine):
    mine = (uuid7(), "Moonstone dust", "Mine.")
    with engine.begin() as connection:
        values = dict(zip(("pk", "name", "description"), mine, strict=True))
        connection.execute(insert(Ingredient).values(values))
    assert load(url) == COUNTS
    with engine.connect() as connection:
        assert mine in shelf(connection)


def test_a_user_with_the_address_of_an_example_stays_and_the_rest_is_loaded(
    url: URL, engine: Engine
):
    mine = uuid7()
    address = "bartholomew@alchemist.example"
    with engine.begin() as connection:
        user = {"pk": mine, "email": address, "full_name": "Mine"}
        connection.execute(insert(User).values(user))
    theirs = {kind: others_than(kind, EXAMPLE_OWNER_PK) for kind in ("heroes", "orders")}
    used = {
        REDEMPTIONS[pk]["coupon_id"]
        for pk in REDEMPTIONS
        if REDEMPTIONS[pk]["user_id"] == EXAMPLE_OWNER_PK
    }
    assert load(url) == COUNTS | {"users": 9, "coupons": 8 - len(used)} | theirs
    assert load(url) == NONE
    with engine.connect() as connection:
        assert connection.scalar(select(User.pk).where(User.email == address)) == mine


def others_than(kind: str, user_id: str) -> int:
    return len([row for row in sample_data.rows(kind) if row["user_id"] != user_id])


MINE = [
    (User, {"email": "ines@alchemist.example", "full_name": "Mine"}),
    (User, {"email": "sunniva@alchemist.example", "full_name": "Mine"}),
    (Hero, {"nickname": "Captain Hobnail"}),
    (Coupon, {"code": "WELCOME10", "init_count": 1, "remaining_count": 1}),
]


@pytest.mark.parametrize(("model", "values"), MINE, ids=["merchant", "customer", "hero", "coupon"])
def test_the_market_is_sound_whatever_is_in_the_way_and_whole_when_it_is_gone(
    url: URL, engine: Engine, model: Any, values: dict[str, Any]
):
    mine = {"pk": uuid7(), **values}
    with engine.begin() as connection:
        connection.execute(insert(model).values(mine))
    first = load(url)
    with engine.begin() as connection:
        assert unsound(connection) == []
        connection.execute(delete(model).where(model.pk == mine["pk"]))
    second = load(url)
    assert 0 < second["orders"] < COUNTS["orders"]
    assert {kind: first[kind] + second[kind] for kind in first} == COUNTS
    with engine.connect() as connection:
        assert unsound(connection) == []


def unsound(connection: Connection) -> list[UUID]:
    """Return the coupons that count wrong, and the redemptions of orders that are not there."""
    live = select(func.count()).where(
        Redemption.coupon_id == Coupon.pk, Redemption.released_at.is_(None)
    )
    used = Coupon.used_before + live.scalar_subquery()
    wrong = select(Coupon.pk).where(Coupon.init_count - Coupon.remaining_count != used)
    orphaned = select(Redemption.pk).where(Redemption.order_id.not_in(select(Order.pk)))
    return [*connection.scalars(wrong), *connection.scalars(orphaned)]


def test_a_product_that_was_sold_since_keeps_its_stock(url: URL, engine: Engine):
    load(url)
    sold = update(Product).where(Product.pk == UUID(UNSOLD)).values(stock=Product.stock - 1)
    with engine.begin() as connection:
        connection.execute(sold)
    assert load(url) == NONE
    with engine.connect() as connection:
        left = connection.scalar(select(Product.stock).where(Product.pk == UUID(UNSOLD)))
    assert left == PRODUCTS[UNSOLD]["stock"] - 1


def test_a_deleted_store_comes_back(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        connection.execute(delete(Store).where(Store.pk == UUID(EMPTY_STORE)))
    assert load(url) == NONE | {"stores": 1}


def test_a_hero_with_the_nickname_of_an_example_stays(url: URL, engine: Engine):
    mine = uuid7()
    with engine.begin() as connection:
        connection.execute(insert(Hero).values(pk=mine, nickname="Old Jory"))
    assert load(url) == COUNTS | {"heroes": 7}
    with engine.connect() as connection:
        assert connection.scalar(select(Hero.pk).where(Hero.nickname == "Old Jory")) == mine


def test_a_deleted_user_comes_back_with_their_tokens(url: URL, engine: Engine):
    load(url)
    with engine.begin() as connection:
        connection.execute(delete(User).where(User.pk == UUID(EXAMPLE_PK)))
    assert load(url) == NONE | {"users": 1, "tokens": 2}


def test_two_loads_at_once_add_every_row_once(url: URL):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load, [url, url])
    added = {kind: first[kind] + second[kind] for kind in first}
    assert added == COUNTS
