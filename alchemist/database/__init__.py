"""PostgreSQL, without HTTP and without any domain."""

from .constraints import ConstraintError, constraint_error, constraint_errors, not_blank
from .migrations import PROJECT_ROOT, alembic_config, latest_revision
from .models import Base, Versioned, table
from .queries import Parameters, Query, cached_query
from .session import (
    Engines,
    audit,
    begin_separate,
    connect,
    current_engines,
    delete,
    fetch_all,
    fetch_autocommit,
    fetch_one,
    insert,
    is_in_transaction,
    lock_row,
    mark_modified,
    modified_names,
    rolled_back,
    session,
    update,
    use,
)
from .text_search import matches_words, search_vector

__all__ = [
    "PROJECT_ROOT",
    "Base",
    "ConstraintError",
    "Engines",
    "Parameters",
    "Query",
    "Versioned",
    "alembic_config",
    "audit",
    "begin_separate",
    "cached_query",
    "connect",
    "constraint_error",
    "constraint_errors",
    "current_engines",
    "delete",
    "fetch_all",
    "fetch_autocommit",
    "fetch_one",
    "insert",
    "is_in_transaction",
    "latest_revision",
    "lock_row",
    "mark_modified",
    "matches_words",
    "modified_names",
    "not_blank",
    "rolled_back",
    "search_vector",
    "session",
    "table",
    "update",
    "use",
]
