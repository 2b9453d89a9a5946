"""`alchemist verify`: silent on what is sound, and loud on each kind of damage."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import (
    URL,
    CheckConstraint,
    Connection,
    ForeignKeyConstraint,
    NullPool,
    PrimaryKeyConstraint,
    UniqueConstraint,
    create_engine,
    text,
)
from sqlalchemy.dialects import postgresql

from alchemist import cli
from alchemist import database as db
from alchemist.cli import sample_data, verify
from alchemist.cli.verify.assertion import sql_assertion
from alchemist.domains.coupons import service as coupons
from alchemist.domains.orders import service as orders
from tests.factories import (
    make_coupon,
    make_hero,
    make_order,
    make_potion,
    make_product,
    make_store,
    make_token,
    make_user,
)

CHECKED = "coupons_remaining_count_check"
# Each kind of damage, as it may be found after a restore or an hour with psql.
DAMAGES: dict[str, list[str]] = {
    "constraints: dropped": ["ALTER TABLE coupons DROP CONSTRAINT coupons_remaining_count_check"],
    "constraints: not validated": [
        f"ALTER TABLE coupons DROP CONSTRAINT {CHECKED}",
        f"ALTER TABLE coupons ADD CONSTRAINT {CHECKED} CHECK (remaining_count >= 0) NOT VALID",
    ],
    "constraints: switched off": ["ALTER TABLE orders DISABLE TRIGGER ALL"],
    "constraints: without its index": ["DROP INDEX coupons_code_key"],
    "required: column empty": [
        "ALTER TABLE users ALTER full_name DROP NOT NULL",
        "UPDATE users SET full_name = NULL",
    ],
    "checks: broken under a valid constraint": [
        f"ALTER TABLE coupons DROP CONSTRAINT {CHECKED}",
        "UPDATE coupons SET remaining_count = -1",
        f"ALTER TABLE coupons ADD CONSTRAINT {CHECKED}"
        " CHECK (remaining_count BETWEEN 0 AND init_count) NOT VALID",
        f"UPDATE pg_constraint SET convalidated = true WHERE conname = '{CHECKED}'",
    ],
    "checks: negative stock": [
        "ALTER TABLE products DROP CONSTRAINT products_stock_check",
        "UPDATE products SET stock = -1",
    ],
    "checks: what a line took": [
        "ALTER TABLE order_items DROP CONSTRAINT order_items_taken_check",
        "UPDATE order_items SET taken = 7",
    ],
    "checks: what a line costs": [
        "ALTER TABLE order_items DROP CONSTRAINT order_items_total_check",
        "UPDATE order_items SET unit_price = unit_price + 1",
    ],
    "checks: an e-mail in capitals": [
        "ALTER TABLE users DROP CONSTRAINT users_email_check",
        "UPDATE users SET email = upper(email)",
    ],
    "references: to a store that is gone": ["DELETE FROM stores"],
    "references: of a token of nobody": ["UPDATE tokens SET user_id = gen_random_uuid()"],
    "unique: code but for its case": [
        "DROP INDEX coupons_code_key",
        "INSERT INTO coupons (pk, code, init_count, remaining_count)"
        " SELECT gen_random_uuid(), upper(code), 1, 1 FROM coupons",
    ],
    "unique: nickname": [
        "ALTER TABLE heroes DROP CONSTRAINT heroes_nickname_key",
        "INSERT INTO heroes (pk, nickname) SELECT gen_random_uuid(), nickname FROM heroes",
    ],
    "computed: column that is none": [
        "ALTER TABLE products ALTER in_stock DROP EXPRESSION",
        "UPDATE products SET in_stock = NOT in_stock",
    ],
    "coupon-counts: too few left": ["UPDATE coupons SET remaining_count = remaining_count - 1"],
    "coupon-counts: redemption lost": ["DELETE FROM redemptions WHERE order_id IS NULL"],
    "coupon-limits": [
        "INSERT INTO redemptions (pk, coupon_id, user_id)"
        " SELECT gen_random_uuid(), coupon_id, user_id FROM redemptions WHERE released_at IS NULL",
    ],
    "redemptions: of an order that knows nothing": [
        "UPDATE orders SET redemption_id = NULL WHERE redemption_id IS NOT NULL"
    ],
    "redemptions: that know nothing": ["UPDATE redemptions SET order_id = NULL"],
    "redemptions: of an order that is gone": ["DELETE FROM orders"],
    "buyers": ["UPDATE orders SET user_id = NULL"],
    "releases: of a live order": ["UPDATE redemptions SET released_at = now()"],
    "releases: missing": ["UPDATE redemptions SET released_at = NULL"],
    "releases: without an order": [
        "UPDATE redemptions SET released_at = now() WHERE order_id IS NULL"
    ],
    "lines: missing": ["DELETE FROM order_items"],
    "lines: with a gap": ["UPDATE order_items SET position = 9 WHERE position = 1"],
    "lines: that begin late": ["UPDATE order_items SET position = position + 9"],
    "totals: other than the lines": [
        """UPDATE orders SET totals = replace(totals::text, '.00"', '.01"')::json"""
    ],
    "totals: without a currency": ["UPDATE orders SET totals = '[]'"],
    "totals: that are no list": ["UPDATE orders SET totals = '{}'"],
    "totals: that are no objects": ["UPDATE orders SET totals = '[1]'"],
    "totals: in a currency of no line": [
        "UPDATE orders SET totals = (totals::jsonb || "
        """'{"currency": "USD", "subtotal": "0", "discount": "0", "total": "0"}')::json"""
    ],
    "currencies": ["UPDATE orders SET totals = (totals::jsonb || totals::jsonb)::json"],
    "discounts": ["UPDATE orders SET redemption_id = NULL"],
    "shares": [
        "UPDATE order_items SET discount = discount + d, total = total - d FROM"
        " (VALUES (0, 0.01), (1, -0.01)) AS moved (line, d) WHERE line = position AND discount > 0"
    ],
    "recipes: that are empty": ["DELETE FROM potion_ingredients"],
    "recipes: with a gap": ["UPDATE potion_ingredients SET position = 9"],
}


every_damage = pytest.mark.parametrize("damage", DAMAGES)


def fill() -> None:
    """Store rows of every kind, and coupons that were redeemed in all the ways that there are."""
    user = make_user()
    make_token(user)
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
def market(module_app: Flask, module_database: URL) -> URL:
    """A sound database, which nobody changes for good."""
    with module_app.app_context():
        fill()
        db.session.commit()
    return module_database


@pytest.fixture
def connection(market: URL) -> Iterator[Connection]:
    """The same as seen in a transaction to which no foreign key applies, and which is undone."""
    engine = create_engine(market, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        yield connection


def contradicted(connection: Connection) -> dict[str, verify.Verdict]:
    """Return the verdicts that are none of soundness, by the name of the assertion."""
    verdicts = verify.evaluate(connection)
    return {found.assertion.name: found for found in verdicts if not found.holds}


def said(database: URL, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", database.render_as_string(hide_password=False))
    return CliRunner().invoke(cli.main, ["verify"])


def test_an_empty_database_is_sound(fresh_database, monkeypatch):
    told = said(fresh_database, monkeypatch)
    assert told.exit_code == 0, told.output
    assert [line.split()[0] for line in told.output.splitlines()] == ["holds"] * len(
        verify.ASSERTIONS
    )


def test_the_example_apothecary_is_sound(fresh_database, monkeypatch):
    sample_data.load(fresh_database, lambda _done, _total: None)
    told = said(fresh_database, monkeypatch)
    assert told.exit_code == 0, told.output


def test_a_market_that_was_used_is_sound(connection):
    assert contradicted(connection) == {}


@every_damage
def test_damage_is_found(connection, damage):
    for statement in DAMAGES[damage]:
        assert connection.exec_driver_sql(statement).rowcount != 0, statement
    assert damage.partition(":")[0] in contradicted(connection)


def test_every_assertion_has_a_damage():
    assert {damage.partition(":")[0] for damage in DAMAGES} == {
        one.name for one in verify.ASSERTIONS
    }


@pytest.mark.parametrize("kind", ["checks", "references", "unique"])
def test_every_declared_constraint_is_asked_of_the_rows(kind):
    [asked] = [one.contradictions for one in verify.ASSERTIONS if one.name == kind]
    literals = map(str, asked.compile(dialect=postgresql.dialect()).params.values())
    names = {
        "checks": names_of(CheckConstraint),
        "references": names_of(ForeignKeyConstraint),
        "unique": names_of(PrimaryKeyConstraint, UniqueConstraint) | {"coupons_code_key"},
    }[kind]
    assert {f"{name} of " for name in names} == {one for one in literals if one.endswith(" of ")}


def names_of(*kinds: Any) -> set[str]:
    tables = db.Base.metadata.tables.values()
    return {one.name for table in tables for one in table.constraints if isinstance(one, kinds)}


def test_a_limit_that_was_lowered_after_its_use_is_no_damage(make_committing_app, fresh_database):
    with make_committing_app().app_context():
        coupon = make_coupon(per_user_limit=2)
        for _ in range(2):
            coupons.redeem(db.lock_row(coupons.by_pk(coupon.pk)), None)
        coupons.update(db.lock_row(coupons.by_pk(coupon.pk)), {"per_user_limit": 1})
        db.session.commit()
    assert all(verdict.holds for verdict in verify.run(fresh_database))


def test_many_offenders_are_counted_and_ten_are_named(connection):
    connection.execute(
        text(
            "INSERT INTO potions (pk, name)"
            " SELECT gen_random_uuid(), 'Water' FROM generate_series(1, 25)"
        )
    )
    found = contradicted(connection)["recipes"]
    assert (found.count, len(found.offenders)) == (25, 10)


def test_it_exits_with_1_and_names_the_offenders(fresh_database, monkeypatch):
    engine = create_engine(fresh_database, poolclass=NullPool)
    pk = uuid4()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO potions (pk, name) VALUES (:pk, 'Air')"), {"pk": pk})
    told = said(fresh_database, monkeypatch)
    assert told.exit_code == 1
    failed = told.output.partition("FAILS  recipes: ")[2].splitlines()
    assert failed[0].endswith(" 1 does not:")
    assert failed[1].strip() == str(pk)
    assert told.output.count("FAILS") == 1


def test_it_runs_in_a_transaction_that_cannot_write(market, monkeypatch):
    settings = "current_setting('transaction_read_only') AS offender"
    monkeypatch.setattr(verify, "ASSERTIONS", [sql_assertion("", "", f"SELECT {settings}")])
    assert [found.offenders for found in verify.run(market)] == [["on"]]


def test_it_sees_one_moment_however_long_it_takes(fresh_database):
    verdicts = verify.run(fresh_database)
    found = [next(verdicts)]
    with create_engine(fresh_database, poolclass=NullPool).begin() as other:
        other.execute(text("INSERT INTO potions (pk, name) VALUES (gen_random_uuid(), 'Air')"))
    found += verdicts
    assert all(verdict.holds for verdict in found)


def test_it_works_on_the_embedded_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    told = CliRunner().invoke(cli.main, ["verify", "--data", "data"])
    monkeypatch.delenv("DATABASE_URL")
    assert told.exit_code == 0, told.output


def test_it_needs_the_tables(empty_database, monkeypatch):
    told = said(empty_database, monkeypatch)
    assert told.exit_code == 1
    assert told.stderr == "Error: The tables are not up to date: run `alchemist migrate`.\n"
