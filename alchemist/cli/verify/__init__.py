"""What must be true of the rows of a whole database, and whether it is."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL, Connection, NullPool, create_engine, func, select, text

from . import constraints, invariants
from .assertion import Assertion

MAX_SHOWN = 10
ASSERTIONS: list[Assertion] = [*constraints.ASSERTIONS, *invariants.ASSERTIONS]


@dataclass(frozen=True)
class Verdict:
    """How many rows contradict an assertion, and the first of them."""

    assertion: Assertion
    count: int
    offenders: list[str]

    @property
    def holds(self) -> bool:
        return not self.count


def run(url: URL) -> Iterator[Verdict]:
    """Yield what became of each assertion.

    One snapshot for all of them, so that on a live service none sees half of a transaction.
    """
    # No time limits: a large table takes as long as it takes.
    connect = {"connect_timeout": 5, "prepare_threshold": None}
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="REPEATABLE READ", connect_args=connect
    )
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        yield from evaluate(connection)


def evaluate(connection: Connection) -> Iterator[Verdict]:
    """Yield what becomes of each assertion in a transaction, its own changes included."""
    # Where a constraint stands in the catalogue the planner would take it for granted.
    connection.execute(text("SET LOCAL constraint_exclusion = off"))
    for assertion in ASSERTIONS:
        broken = assertion.contradictions.subquery()
        first = select(broken.c.offender, func.count().over()).order_by(broken.c.offender)
        rows = connection.execute(first.limit(MAX_SHOWN)).all()
        yield Verdict(assertion, rows[0][1] if rows else 0, [row[0] for row in rows])
