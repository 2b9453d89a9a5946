"""Every constraint of the database has an error, and its violation is answered with it."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from flask import request
from sqlalchemy import CheckConstraint, NullPool, Table, create_engine, func, select, text
from sqlalchemy.exc import IntegrityError

from alchemist import database as db
from alchemist.api.stored_responses import IdempotencyKey
from alchemist.domains.ingredients import service
from alchemist.errors import PROBLEM_TYPES
from tests.completeness import assert_complete
from tests.factories import (
    make_coupon,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_row,
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

# A key for all rows, which no other table has; and one for each row.
SHARED = "'01935f2e-7c1a-7b3e-9d3c-0123456789ab'"
EACH = "gen_random_uuid()"

# The primary key is a part of these.
IMPLIED = {"stores_pk_currency_key"}

# Assignments (of UPDATE) that violate a constraint if there are two rows in the table. PostgreSQL
# checks the CHECKs in the order of their names, then the unique keys, and the foreign keys at the
# end of the statement. `derived_violations` has those of keys `pk`, of foreign keys of one column,
# of references and of `not_blank`.
VIOLATIONS = {
    "potion_ingredients": {
        "pkey": "position = 0",
        "potion_id_ingredient_id_key": f"ingredient_id = {SHARED}",
        "amount_check": "amount = 0",
    },
    "idempotency_keys": {
        "pkey": "key = 'k'",
    },
    "users": {
        "email_folded_key": "email_folded = 'circe@alchemist.example'",
        "email_check": "email = 'Circe@alchemist.example'",
        "role_check": "role = 'king'",
    },
    "tokens": {
        "digest_key": "digest = ''",
    },
    "heroes": {
        "nickname_folded_key": "nickname_folded = 'circe'",
        "role_check": "role = 'king'",
    },
    "audit_log": {
        "action_check": "action = 'read'",
    },
    "stores": {
        "currency_check": "currency = 'eur'",
    },
    "products": {
        "store_id_currency_fkey": f"store_id = {EACH}",
        "currency_check": "price = 0.001",
        "store_id_name_key": "name = 'Theriac'",
        "price_check": "price = -0.01",
        "stock_check": "stock = -1",
    },
    "coupons": {
        "code_folded_key": "code_folded = 'sage'",
        "init_count_check": "init_count = -1",
        "remaining_count_check": "remaining_count = init_count + 1",
        "used_before_check": "used_before = init_count + 1",
        "percent_off_check": "percent_off = 101",
        "valid_until_check": "valid_from = now(), valid_until = now()",
        "per_user_limit_check": "per_user_limit = 0",
    },
    "redemptions": {
        "order_id_key": f"order_id = {SHARED}",
    },
    "orders": {
        "redemption_id_key": f"redemption_id = {SHARED}",
        "status_check": "status = 'lost', expires_at = NULL",
        "expires_at_check": "status = 'paid'",
    },
    "order_items": {
        "pkey": "position = 0",
        "order_id_product_id_key": f"product_id = {SHARED}",
        "quantity_check": "quantity = 0",
        "taken_check": "taken = quantity + 1",
        "total_check": "total = total + 0.01",
    },
}


def derived_violations(table: Table) -> Iterator[tuple[str, str]]:
    """Yield the names of the constraints that have an obvious violation, and that."""
    if table.primary_key.columns.keys() == ["pk"]:
        yield f"{table.name}_pkey", f"pk = {SHARED}"
    for constraint in table.foreign_key_constraints:
        if len(constraint.column_keys) == 1:
            [column] = constraint.column_keys
            yield f"{table.name}_{column}_fkey", f"{column} = {EACH}"
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint) and (
            match := re.fullmatch(r"(\w+) <> ''", str(constraint.sqltext))
        ):
            yield f"{table.name}_{match[1]}_check", f"{match[1]} = ''"
    if "reference" in table.columns:
        yield f"{table.name}_reference_idx", "reference = 'erp-4711'"


def listed_violations(table: Table) -> Iterator[tuple[str, str]]:
    for suffix, change in VIOLATIONS.get(table.name, {}).items():
        yield f"{table.name}_{suffix}", change


BROKEN = {
    name: (table.name, change)
    for table in db.Base.metadata.sorted_tables
    for name, change in (*derived_violations(table), *listed_violations(table))
}
REQUIRED = [
    (table.name, column.name)
    for table in db.Base.metadata.sorted_tables
    for column in table.columns
    if not (column.nullable or column.computed or column.identity)
]


@pytest.fixture(scope="module")
def client(module_app):
    """The client of an app on a database with two rows in every table, which no test changes."""
    with module_app.app_context():
        for key in "ab":
            blank = {"fingerprint": "", "status": 201, "headers": {}, "body": ""}
            db.insert(IdempotencyKey(caller="", key=key, **blank))
            make_token(make_user())
        make_potion()
        make_potion(make_ingredient(), make_ingredient())
        store, coupon = make_store(), make_coupon(code="Sage")
        make_coupon(init_count=5)
        products = [make_product(store), make_product(store)]
        for _ in range(2):
            make_order(*products, coupon_code=coupon.code)
        for table in db.Base.metadata.sorted_tables:
            while db.session.scalar(select(func.count()).select_from(table)) < 2:
                make_row(table.name)
        db.session.commit()
    return module_app.test_client()


@pytest.fixture
def violate(client, monkeypatch):
    """Return a function that changes a table past validation and returns the response."""

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


def test_every_constraint_has_an_error_and_no_other_has(template):
    assert db.constraint_errors_by_name().keys() == catalogue(template)


def test_every_error_has_a_documented_code_a_pointer_and_a_sentence():
    for name, rule in db.constraint_errors_by_name().items():
        assert PROBLEM_TYPES[rule.code].status in (409, 422), name
        assert rule.pointer.startswith("#"), name
        assert rule.detail.endswith("."), name


def test_every_constraint_has_a_violation(template):
    constraints = catalogue(template) - IMPLIED
    assert_complete(BROKEN, constraints, "VIOLATIONS", "tests/database/test_constraints.py")


@pytest.mark.parametrize("name", BROKEN)
def test_a_violation_is_answered_with_the_error_of_its_constraint(violate, name):
    answer = violate(*BROKEN[name], name)
    rule = db.constraint_errors_by_name()[name]
    assert (answer.status_code, answer.json["code"]) == (PROBLEM_TYPES[rule.code].status, rule.code)
    [entry] = answer.json["errors"]
    assert (entry["pointer"], entry["code"]) == (rule.pointer, rule.code)
    assert entry["detail"] in (rule.detail, f'{rule.detail} It is "Mandrake".')


@pytest.mark.parametrize(("table", "column"), REQUIRED)
def test_a_null_in_a_required_column_is_422(violate, table, column):
    answer = violate(table, f"{column} = NULL", column, **{column: None})
    assert (answer.status_code, answer.json["code"]) == (422, "not-nullable")
    assert [entry["pointer"] for entry in answer.json["errors"]] == [f"#/{column}"]
