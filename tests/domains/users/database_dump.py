"""Dumps a database as rows to compare, or as one text to search."""

from sqlalchemy import Connection, text

TABLES = text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")


def as_text(connection: Connection) -> str:
    """Return all rows, one on a line."""
    return "\n".join(rows(connection))


def rows(connection: Connection, *excluded_tables: str) -> list[str]:
    """Return the rows of all other tables as PostgreSQL formats them, with columns of any type."""
    tables = set(connection.scalars(TABLES))
    assert {"idempotency_keys", *excluded_tables} <= tables
    rows_by_table = (
        connection.scalars(text(f'SELECT t::text FROM "{name}" t')).all()
        for name in tables - set(excluded_tables)
    )
    return [row for rows in rows_by_table for row in rows]
