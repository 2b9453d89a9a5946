"""All that a database holds, as one text to search."""

from sqlalchemy import Connection, text

TABLES = text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")


def of(connection: Connection) -> str:
    """Return every row of every table as PostgreSQL writes it, columns of any type included."""
    tables = connection.scalars(TABLES).all()
    assert "idempotency_keys" in tables
    rows = (connection.scalars(text(f'SELECT t::text FROM "{name}" t')).all() for name in tables)
    return "\n".join(line for found in rows for line in found)
