"""`alchemist verify`: consistent data pass, and each kind of damage is reported."""

import json
from collections.abc import Iterator
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import (
    URL,
    Connection,
    NullPool,
    create_engine,
    insert,
    text,
)

from alchemist import cli
from alchemist import database as db
from alchemist.cli import sample_data, verify
from alchemist.cli.verify import derived_columns
from alchemist.cli.verify.assertion import sql_assertion
from alchemist.cli.verify.constraints import DECLARED
from alchemist.domains.coupons import service as coupons
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.orders import service as orders
from alchemist.domains.potions.models import Potion
from alchemist.domains.users import token_service
from alchemist.domains.users.permissions import ADMIN
from tests.factories import (
    make_coupon,
    make_hero,
    make_order,
    make_potion,
    make_product,
    make_store,
    make_user,
)

CHECK_NAME = "coupons_remaining_count_check"
# The damage that a failed restore or manual SQL may cause, by the name of the failing assertion.
DAMAGES: dict[str, list[str]] = {
    "constraints: dropped": [f"ALTER TABLE coupons DROP CONSTRAINT {CHECK_NAME}"],
    "constraints: not validated": [
        f"ALTER TABLE coupons DROP CONSTRAINT {CHECK_NAME}",
        f"ALTER TABLE coupons ADD CONSTRAINT {CHECK_NAME} CHECK (remaining_count >= 0) NOT VALID",
    ],
    "constraints: disabled": ["ALTER TABLE orders DISABLE TRIGGER ALL"],
    "constraints: dropped unique index": [
        "ALTER TABLE coupons DROP CONSTRAINT coupons_code_folded_key"
    ],
    "derived-columns: empty sort key": ["UPDATE potions SET name_sort = ''"],
    "derived-columns: former sort key": ["UPDATE potions SET name = 'Zest'"],
    "derived-columns: folded text": ["UPDATE heroes SET nickname = 'Zest'"],
    "derived-columns: search words": ["UPDATE products SET search_words = to_tsvector(name)"],
    "token-makers: expires later": [
        "UPDATE tokens SET expires_at = 'infinity' WHERE made_with_id IS NOT NULL"
    ],
    "token-makers: not revoked": [
        "UPDATE tokens SET revoked_at = now() WHERE made_with_id IS NULL"
    ],
    "anonymised-users": ["UPDATE users SET email = repeat('0', 32) || '@anonymous.invalid'"],
    "coupon-counts: count too low": ["UPDATE coupons SET remaining_count = remaining_count - 1"],
    "coupon-counts: missing redemption": ["DELETE FROM redemptions WHERE order_id IS NULL"],
    "coupon-limits": [
        "INSERT INTO redemptions (pk, coupon_id, user_id)"
        " SELECT gen_random_uuid(), coupon_id, user_id FROM redemptions WHERE released_at IS NULL",
    ],
    "redemption-orders: order without the redemption": [
        "UPDATE orders SET redemption_id = NULL WHERE redemption_id IS NOT NULL"
    ],
    "redemption-orders: redemption without the order": ["UPDATE redemptions SET order_id = NULL"],
    "redemption-orders: deleted order": ["DELETE FROM orders"],
    "redemption-users": ["UPDATE orders SET user_id = NULL"],
    "redemption-releases: order not cancelled": ["UPDATE redemptions SET released_at = now()"],
    "redemption-releases: not released": ["UPDATE redemptions SET released_at = NULL"],
    "redemption-releases: no order": [
        "UPDATE redemptions SET released_at = now() WHERE order_id IS NULL"
    ],
    "order-items: missing": ["DELETE FROM order_items"],
    "order-items: gap": ["UPDATE order_items SET position = 9 WHERE position = 1"],
    "order-items: first position not 0": ["UPDATE order_items SET position = position + 9"],
    "order-totals: wrong sum": [
        """UPDATE orders SET totals = replace(totals::text, '.00"', '.01"')::json"""
    ],
    "order-totals: missing currency": ["UPDATE orders SET totals = '[]'"],
    "order-totals: not an array": ["UPDATE orders SET totals = '{}'"],
    "order-totals: not objects": ["UPDATE orders SET totals = '[1]'"],
    "order-totals: currency without items": [
        "UPDATE orders SET totals = (totals::jsonb || "
        """'{"currency": "USD", "subtotal": "0", "discount": "0", "total": "0"}')::json"""
    ],
    "order-currencies": ["UPDATE orders SET totals = (totals::jsonb || totals::jsonb)::json"],
    "order-discounts": ["UPDATE orders SET redemption_id = NULL"],
    "discount-allocation": [
        "UPDATE order_items SET discount = discount + d, total = total - d FROM"
        " (VALUES (0, 0.01), (1, -0.01)) AS moved (item, d) WHERE item = position AND discount > 0"
    ],
    "order-item-stores": ["UPDATE order_items SET store_id = gen_random_uuid()"],
    "order-fulfilment: item": ["UPDATE order_items SET fulfilled_at = now()"],
    "order-fulfilment: order": ["UPDATE orders SET status = 'fulfilled', expires_at = NULL"],
    "order-fulfilment: part": [
        "UPDATE orders SET status = 'partially_fulfilled', expires_at = NULL"
    ],
    "order-coupon-codes": ["UPDATE orders SET coupon_code = NULL"],
    "potion-ingredients: missing": ["DELETE FROM potion_ingredients"],
    "potion-ingredients: gap": ["UPDATE potion_ingredients SET position = 9"],
}


def insert_rows() -> None:
    """Insert rows of every kind, and coupons with every kind of redemption."""
    user = make_user()
    maker, _ = token_service.issue_token(user, ADMIN, label="Maker")
    expires_at = {"latest_expiry": maker.expires_at}
    token_service.issue_token(user, ADMIN, label="Child", made_with_id=maker.pk, **expires_at)
    hero = make_hero(user_id=user.pk)
    coupon = make_coupon(percent_off=33, per_user_limit=2)
    dollars = make_product(make_store(currency="USD"), price=Decimal("0.99"))
    products = [make_product(potion_id=make_potion().pk, stock=9) for _ in "abc"]
    make_order(products[0], dollars, user=user)
    make_order(*products, dollars, user=user, coupon_code=coupon.code, hero_id=hero.pk)
    cancelled = make_order(*products, user=user, coupon_code=coupon.code)
    orders.cancel(cancelled)
    coupons.redeem(db.lock_row(coupons.by_pk(coupon.pk)), user.pk)
    make_coupon(init_count=5, remaining_count=2)


@pytest.fixture(scope="module")
def consistent_database(module_app: Flask, module_database: URL) -> URL:
    """A database with consistent rows. Tests roll their changes back."""
    with module_app.app_context():
        insert_rows()
        db.session.commit()
    return module_database


@pytest.fixture
def connection(consistent_database: URL) -> Iterator[Connection]:
    """A connection to it that ignores foreign keys and is rolled back."""
    engine = create_engine(consistent_database, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        yield connection


def failed_verdicts(connection: Connection) -> dict[str, verify.Verdict]:
    """Return the verdicts that did not pass, by the name of the assertion."""
    verdicts = verify.evaluate_on_connection(connection)
    return {verdict.assertion.name: verdict for verdict in verdicts if not verdict.passed}


def run_verify(database: URL, monkeypatch: pytest.MonkeyPatch, *options: str) -> Any:
    monkeypatch.setenv("DATABASE_URL", database.render_as_string(hide_password=False))
    return CliRunner().invoke(cli.main, ["verify", *options])


def test_an_empty_database_passes(fresh_database, monkeypatch):
    result = run_verify(fresh_database, monkeypatch)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == ["passed"] * len(
        verify.ASSERTIONS
    )


def test_the_sample_data_pass(fresh_database, monkeypatch):
    sample_data.load_missing(fresh_database)
    result = run_verify(fresh_database, monkeypatch)
    assert result.exit_code == 0, result.output


def test_consistent_rows_pass(connection):
    assert failed_verdicts(connection) == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_reported(connection, damage):
    for statement in DAMAGES[damage]:
        assert connection.exec_driver_sql(statement).rowcount != 0, statement
    assert damage.partition(":")[0] in failed_verdicts(connection)


def test_every_assertion_has_a_test():
    assert {damage.partition(":")[0] for damage in DAMAGES} == {
        assertion.name for assertion in verify.ASSERTIONS
    }


def test_every_constraint_of_the_catalogue_is_declared(connection):
    catalogue = connection.execute(
        text(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace AND contype <> 'n'"
            " AND conrelid <> 'alembic_version'::regclass"
        )
    )
    assert {tuple(row) for row in catalogue} <= set(DECLARED)


def test_a_limit_that_was_lowered_after_redemptions_passes(make_committing_app, fresh_database):
    with make_committing_app().app_context():
        coupon = make_coupon(per_user_limit=2)
        for _ in range(2):
            coupons.redeem(db.lock_row(coupons.by_pk(coupon.pk)), None)
        coupons.update_with_remaining_count(
            db.lock_row(coupons.by_pk(coupon.pk)), {"per_user_limit": 1}
        )
        db.session.commit()
    assert all(verdict.passed for verdict in verify.evaluate_all(fresh_database))


def test_all_violations_are_counted_and_ten_keys_are_listed(connection):
    connection.execute(
        text(
            "INSERT INTO potions (pk, name)"
            " SELECT gen_random_uuid(), 'Water' FROM generate_series(1, 25)"
        )
    )
    verdict = failed_verdicts(connection)["potion-ingredients"]
    assert (verdict.count, len(verdict.keys)) == (25, 10)


def test_a_violation_exits_with_1_and_prints_its_key(fresh_database, monkeypatch):
    engine = create_engine(fresh_database, poolclass=NullPool)
    pk = uuid4()
    with engine.begin() as connection:
        connection.execute(insert(db.table(Potion)).values(pk=pk, name="Air"))
    result = run_verify(fresh_database, monkeypatch)
    assert result.exit_code == 1
    lines = result.output.partition("FAILED  potion-ingredients: ")[2].splitlines()
    assert lines[0].endswith(" 1 violation:")
    assert lines[1].strip() == str(pk)
    assert result.output.count("FAILED") == 1


def insert_potions_with_sql(url: URL, count: int) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        ingredient = uuid4()
        connection.execute(
            insert(db.table(Ingredient)).values(pk=ingredient, name="Foxglove", description="Rare.")
        )
        connection.execute(text(SQL_POTIONS), {"count": count, "ingredient": ingredient})


SQL_POTIONS = """
    WITH potions AS (
        INSERT INTO potions (pk, name) SELECT gen_random_uuid(), 'Élixir ' || n
        FROM generate_series(1, :count) n RETURNING pk
    )
    INSERT INTO potion_ingredients (potion_id, position, ingredient_id)
    SELECT pk, 0, :ingredient FROM potions
"""


def test_rows_that_plain_sql_has_written_are_reported_and_corrected(
    make_committing_app, fresh_database, monkeypatch
):
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))
    monkeypatch.setattr(derived_columns, "BATCH_SIZE", 10)
    insert_potions_with_sql(fresh_database, 25)
    client = make_committing_app().test_client()
    before = client.get("/api/v2/potions?sort=name").json
    assert client.get("/api/v2/potions?q=elixir").json == []
    verdicts = {each.assertion.name: each for each in verify.evaluate_all(fresh_database)}
    verdict = verdicts.pop("derived-columns")
    assert (verdict.count, len(verdict.keys)) == (25, 10)
    assert verdict.keys[0] == f"potions {min(potion['pk'] for potion in before)}"
    assert all(each.passed for each in verdicts.values())
    result = CliRunner().invoke(cli.main, ["recompute-derived"])
    assert result.output.endswith("25 rows corrected.\n"), result.output
    assert all(verdict.passed for verdict in verify.evaluate_all(fresh_database))
    assert len(client.get("/api/v2/potions?q=elixir").json) == 25
    after = client.get("/api/v2/potions?sort=name").json
    assert sorted(after, key=itemgetter("pk")) == sorted(before, key=itemgetter("pk"))


def test_it_runs_in_a_read_only_transaction(consistent_database, monkeypatch):
    settings = "current_setting('transaction_read_only') AS key"
    monkeypatch.setattr(verify, "ASSERTIONS", [sql_assertion("", "", f"SELECT {settings}")])
    assert [verdict.keys for verdict in verify.evaluate_all(consistent_database)] == [["on"]]


def test_all_assertions_read_one_snapshot(fresh_database):
    verdicts = verify.evaluate_all(fresh_database)
    assert next(verdicts).passed
    with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
        connection.execute(text("INSERT INTO potions (pk, name) VALUES (gen_random_uuid(), 'Air')"))
    assert all(verdict.passed for verdict in verdicts)


def test_it_prints_json(fresh_database, monkeypatch):
    with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
        connection.execute(insert(db.table(Potion)).values(name="Air"))
    result = run_verify(fresh_database, monkeypatch, "--json")
    verdicts = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [verdict["name"] for verdict in verdicts] == [item.name for item in verify.ASSERTIONS]
    [failed] = [verdict for verdict in verdicts if not verdict["passed"]]
    assert (failed["name"], failed["violations"], len(failed["keys"])) == (
        *("potion-ingredients", 1),
        1,
    )


def test_it_requires_a_migrated_database(empty_database, monkeypatch):
    result = run_verify(empty_database, monkeypatch)
    assert result.exit_code == 1
    assert result.stderr == "Error: The database is not up to date: run `alchemist migrate`.\n"


def test_a_discount_of_three_yen_on_two_items_passes(client, transaction):
    """Neither item can have half a yen."""
    store = make_store(currency="JPY")
    products = [make_product(store, price=Decimal(3)) for _ in "ab"]
    make_order(*products, coupon_code=make_coupon(percent_off=50).code)
    db.session.flush()
    failed = [
        verdict
        for verdict in verify.evaluate_on_connection(db.session.connection())
        if not verdict.passed
    ]
    assert [verdict.assertion.name for verdict in failed] == []
