"""All that a database holds, as rows to compare and as one text to search."""

from sqlalchemy import Connection, text

TABLES = text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")


def of(connection: Connection) -> str:
    return "\n".join(rows(connection))


def rows(connection: Connection, *without: str) -> list[str]:
    """Return every row of every table as PostgreSQL writes it, columns of any type included."""
    tables = set(connection.scalars(TABLES))
    assert {"idempotency_keys", *without} <= tables
    found = (
        connection.scalars(text(f'SELECT t::text FROM "{name}" t')).all()
        for name in tables - set(without)
    )
    return [row for some in found for row in some]
