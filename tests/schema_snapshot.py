"""The schema of a database as a dictionary, and the row counts of its tables."""

from sqlalchemy import NullPool, create_engine, text

CATALOGUE_QUERIES = {
    "tables": """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    """,
    "columns": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
            a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
            AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT conrelid::regclass::text || '.' || conname, contype, condeferrable,
            pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    """,
    "indexes": """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace = 'public'::regnamespace
    """,
    "other objects": """
        SELECT relname, relkind FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'i')
        UNION ALL SELECT proname, 'function' FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT typname, 'type' FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e')
        UNION ALL SELECT tgname, 'trigger' FROM pg_trigger WHERE NOT tgisinternal
    """,
}


def engine(url):
    return create_engine(url, poolclass=NullPool)


def schema(url):
    """Return the definition of each object by its kind and name, without alembic's table."""
    objects = {}
    with engine(url).connect() as connection:
        for kind, query in CATALOGUE_QUERIES.items():
            for name, *definition in connection.execute(text(query)):
                if not name.startswith("alembic_version"):
                    objects[kind, name] = definition
    return objects


def counts(url):
    """Return the number of rows of each table."""
    with engine(url).connect() as connection:
        return {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
            for kind, name in schema(url)
            if kind == "tables"
        }
