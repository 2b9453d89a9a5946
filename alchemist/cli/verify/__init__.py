"""Check what must be true of the stored data, and report the violations."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL, Connection

from alchemist.database import create_unpooled_engine

from . import constraints, derived_columns, invariants
from .assertion import Assertion

ASSERTIONS: list[Assertion] = [
    *constraints.ASSERTIONS,
    *derived_columns.ASSERTIONS,
    *invariants.ASSERTIONS,
]


@dataclass(frozen=True)
class Verdict:
    """The number of violations of an assertion, and the keys of the first MAX_KEYS."""

    assertion: Assertion
    count: int
    keys: list[str]

    @property
    def passed(self) -> bool:
        return not self.count


def evaluate_all(url: URL) -> Iterator[Verdict]:
    """Yield the verdict on each assertion.

    All of them read one snapshot, so that on a live service none sees half of a transaction.
    """
    # Without statement_timeout: to read a large table takes long.
    engine = create_unpooled_engine(url, isolation_level="REPEATABLE READ")
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        yield from evaluate_on_connection(connection)


def evaluate_on_connection(connection: Connection) -> Iterator[Verdict]:
    """Yield the verdict on each assertion in the transaction of a connection."""
    for assertion in ASSERTIONS:
        yield Verdict(assertion, *assertion.find_violations(connection))
