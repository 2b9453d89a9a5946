"""Compare the constraints of the models with the catalogue: a restore may have skipped some."""

from collections.abc import Iterator

from sqlalchemy import Table

import alchemist.app  # noqa: F401  registers every model
from alchemist.database import Base

from .assertion import sql_assertion

# NOT VALID constraints and disabled triggers count as missing: PostgreSQL does not enforce them for
# every row. A unique index without a constraint is found in pg_index.
MISSING_CONSTRAINTS_SQL = """
    SELECT declared.name AS key
    FROM unnest(CAST(:tables AS text[]), CAST(:names AS text[])) AS declared (table_name, name)
    WHERE NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = to_regclass(table_name) AND conname = name AND convalidated
            AND NOT EXISTS (
                SELECT FROM pg_trigger
                WHERE tgconstraint = pg_constraint.oid AND tgenabled NOT IN ('O', 'A')
            )
    ) AND NOT EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = to_regclass(table_name) AND indexrelid = to_regclass(quote_ident(name))
            AND indisunique AND indisvalid
    )
"""


def constraint_and_unique_index_names(table: Table) -> Iterator[str]:
    """Yield the names of the constraints and of the unique indexes of a table."""
    yield from (str(constraint.name) for constraint in table.constraints)
    yield from (str(index.name) for index in table.indexes if index.unique)


DECLARED = [
    (table.name, name)
    for table in Base.metadata.sorted_tables
    for name in constraint_and_unique_index_names(table)
]
ASSERTIONS = [
    sql_assertion(
        "constraints",
        "Every declared constraint exists, is validated and is enabled.",
        MISSING_CONSTRAINTS_SQL,
        tables=[table for table, _name in DECLARED],
        names=[name for _table, name in DECLARED],
    ),
]
