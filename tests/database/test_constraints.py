"""Every constraint of the catalogue: it has a meaning, and whoever breaks it is told that."""

from uuid import uuid4

import pytest
from flask import request
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import IntegrityError

from alchemist import database as db
from alchemist.api.idempotency import IdempotencyKey
from alchemist.domains.ingredients import service
from alchemist.errors import PROBLEM_TYPES
from tests.factories import (
    make_coupon,
    make_hero,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_store,
    make_token,
    make_user,
)

# Since PostgreSQL 18 NOT NULL stands in the catalogue as well; it has no name in the models.
CATALOGUE = text("""
    SELECT conname FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION
    SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace AND indisunique
""")

# A key for all rows, which is nobody's; and one for each.
ONE = "'01935f2e-7c1a-7b3e-9d3c-0123456789ab'"
EACH = "gen_random_uuid()"

# The primary key is a part of these.
IMPLIED = {"stores_pk_currency_key"}

# What breaks each constraint of a table if it is SET in two rows. PostgreSQL asks CHECKs first, in
# the order of their names, then the unique keys, and the foreign keys when the statement ends.
BREAKING = {
    "ingredients": {
        "pkey": f"pk = {ONE}",
        "name_check": "name = ''",
    },
    "potions": {
        "pkey": f"pk = {ONE}",
        "name_check": "name = ''",
    },
    "potion_ingredients": {
        "pkey": "position = 0",
        "potion_id_fkey": f"potion_id = {EACH}",
        "ingredient_id_fkey": f"ingredient_id = {EACH}",
        "potion_id_ingredient_id_key": f"ingredient_id = {ONE}",
        "amount_check": "amount = 0",
        "unit_check": "unit = ''",
    },
    "idempotency_keys": {
        "pkey": "key = 'k'",
    },
    "users": {
        "pkey": f"pk = {ONE}",
        "email_folded_key": "email_folded = 'circe@alchemist.example'",
        "email_check": "email = 'Circe@alchemist.example'",
        "full_name_check": "full_name = ''",
        "role_check": "role = 'king'",
    },
    "tokens": {
        "pkey": f"pk = {ONE}",
        "user_id_fkey": f"user_id = {EACH}",
        "made_with_id_fkey": f"made_with_id = {EACH}",
        "digest_key": "digest = ''",
        "label_check": "label = ''",
    },
    "heroes": {
        "pkey": f"pk = {ONE}",
        "user_id_fkey": f"user_id = {EACH}",
        "nickname_folded_key": "nickname_folded = 'circe'",
        "nickname_check": "nickname = ''",
        "role_check": "role = 'king'",
    },
    "audit_log": {
        "pkey": f"pk = {ONE}",
        "action_check": "action = 'read'",
    },
    "stores": {
        "pkey": f"pk = {ONE}",
        "owner_id_fkey": f"owner_id = {EACH}",
        "name_check": "name = ''",
        "street_check": "street = ''",
        "zipcode_check": "zipcode = ''",
        "city_check": "city = ''",
        "country_check": "country = ''",
        "currency_check": "currency = 'eur'",
    },
    "products": {
        "pkey": f"pk = {ONE}",
        "store_id_currency_fkey": f"store_id = {EACH}",
        "currency_check": "price = 0.001",
        "potion_id_fkey": f"potion_id = {EACH}",
        "store_id_name_key": "name = 'Theriac'",
        "name_check": "name = ''",
        "price_check": "price = -0.01",
        "stock_check": "stock = -1",
    },
    "coupons": {
        "pkey": f"pk = {ONE}",
        "code_folded_key": "code_folded = 'sage'",
        "code_check": "code = ''",
        "init_count_check": "init_count = -1",
        "remaining_count_check": "remaining_count = init_count + 1",
        "used_before_check": "used_before = init_count + 1",
        "percent_off_check": "percent_off = 101",
        "valid_until_check": "valid_from = now(), valid_until = now()",
        "per_user_limit_check": "per_user_limit = 0",
    },
    "redemptions": {
        "pkey": f"pk = {ONE}",
        "coupon_id_fkey": f"coupon_id = {EACH}",
        "user_id_fkey": f"user_id = {EACH}",
        "order_id_key": f"order_id = {ONE}",
    },
    "orders": {
        "pkey": f"pk = {ONE}",
        "user_id_fkey": f"user_id = {EACH}",
        "hero_id_fkey": f"hero_id = {EACH}",
        "redemption_id_fkey": f"redemption_id = {EACH}",
        "redemption_id_key": f"redemption_id = {ONE}",
        "status_check": "status = 'lost'",
    },
    "order_items": {
        "pkey": "position = 0",
        "order_id_fkey": f"order_id = {EACH}",
        "product_id_fkey": f"product_id = {EACH}",
        "order_id_product_id_key": f"product_id = {ONE}",
        "quantity_check": "quantity = 0",
        "taken_check": "taken = quantity + 1",
        "total_check": "total = total + 0.01",
    },
}
BROKEN = {
    f"{table}_{suffix}": (table, change)
    for table, changes in BREAKING.items()
    for suffix, change in changes.items()
}
REQUIRED = [
    (table.name, column.name)
    for table in db.Base.metadata.sorted_tables
    for column in table.columns
    if not (column.nullable or column.computed or column.identity)
]


@pytest.fixture(scope="module")
def client(module_app):
    """The caller of an app whose database holds two rows of everything, which nobody changes."""
    with module_app.app_context():
        for key in "ab":
            blank = {"fingerprint": "", "status": 201, "headers": {}, "body": ""}
            db.insert(IdempotencyKey(caller="", key=key, **blank))
            make_token(make_user())
            make_hero()
            make_store()
        make_potion()
        make_potion(make_ingredient(), make_ingredient())
        store, coupon = make_store(), make_coupon(code="Sage")
        make_coupon(init_count=5)
        products = [make_product(store), make_product(store)]
        for _ in range(2):
            make_order(*products, coupon_code=coupon.code)
        db.session.commit()
    return module_app.test_client()


@pytest.fixture
def breaking(client, monkeypatch):
    """Return what changes a table in a POST, as if validation had let it pass, and its answer."""

    def run(table, change, cause, **sent):
        def create(**_values):
            request.json_body |= sent
            with pytest.raises(IntegrityError) as broken:
                db.session.execute(text(f"UPDATE {table} SET {change}"))
            found = broken.value.orig.diag
            assert cause in (found.constraint_name, found.column_name)
            raise broken.value

        monkeypatch.setattr(service, "create", create)
        # A creation with a key runs in the session, which the tests break.
        return client.post(
            "/api/v2/ingredients",
            json={"name": "Mandrake"},
            headers={"Idempotency-Key": uuid4().hex},
        )

    return run


def catalogue(url):
    with create_engine(url, poolclass=NullPool).connect() as connection:
        names = set(connection.execute(CATALOGUE).scalars())
    return {name for name in names if not name.startswith("alembic_version")}


def test_the_map_knows_every_constraint_and_no_other(template):
    assert db.constraint_errors_by_name().keys() == catalogue(template)


def test_every_rule_has_a_documented_code_a_pointer_and_a_sentence():
    for name, rule in db.constraint_errors_by_name().items():
        assert PROBLEM_TYPES[rule.code].status in (409, 422), name
        assert rule.pointer.startswith("#"), name
        assert rule.detail.endswith("."), name


def test_every_constraint_of_the_catalogue_is_broken_here(template):
    difference = BROKEN.keys() ^ (catalogue(template) - IMPLIED)
    assert not difference, (
        f"{sorted(difference)}: say in BREAKING how an UPDATE violates each. A new table needs two "
        "rows, too, which the fixture `client` makes (a factory belongs into tests/factories.py)."
    )


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_constraint_is_its_refusal(breaking, name):
    answer = breaking(*BROKEN[name], name)
    rule = db.constraint_errors_by_name()[name]
    assert (answer.status_code, answer.json["code"]) == (PROBLEM_TYPES[rule.code].status, rule.code)
    [entry] = answer.json["errors"]
    assert (entry["pointer"], entry["code"]) == (rule.pointer, rule.code)
    assert entry["detail"] in (rule.detail, f'{rule.detail} It is "Mandrake".')


@pytest.mark.parametrize(("table", "column"), REQUIRED)
def test_a_null_is_refused_wherever_a_value_must_be(breaking, table, column):
    answer = breaking(table, f"{column} = NULL", column, **{column: None})
    assert (answer.status_code, answer.json["code"]) == (422, "not-nullable")
    assert [entry["pointer"] for entry in answer.json["errors"]] == [f"#/{column}"]
