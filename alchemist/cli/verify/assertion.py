"""An assertion: a sentence, and the query that finds what contradicts it."""

from dataclasses import dataclass

from sqlalchemy import CompoundSelect, Select, String, TextualSelect, column, text


@dataclass(frozen=True)
class Assertion:
    """`contradictions` has one column, `offender`, which says what is wrong: it may find none."""

    name: str
    sentence: str
    contradictions: Select[tuple[str]] | CompoundSelect[tuple[str]] | TextualSelect


def sql_assertion(name: str, sentence: str, sql: str) -> Assertion:
    """Return the assertion that a SELECT of offenders, in SQL, finds nothing."""
    return Assertion(name, sentence, text(sql).columns(column("offender", String)))
