"""PostgreSQL, without HTTP and without any domain."""

from .constraints import ConstraintError, constraint_errors_by_name, error_info, not_blank
from .derived_columns import derived_value, folded, is_derived, searchable, sort_column, sortable
from .engines import UnsupportedEncoding, create_unpooled_engine
from .external_reference import MAX_REFERENCE_LENGTH, ExternallyReferenced
from .migrations import PROJECT_ROOT, alembic_config, latest_revision
from .models import Base, Versioned, table
from .queries import Parameters, Query, cached_query, check_queries
from .session import (
    Engines,
    TransactionMode,
    audit,
    begin_separate_transaction,
    configure_engines,
    current_engines,
    delete,
    fetch_all,
    fetch_autocommit,
    fetch_one,
    insert,
    lock_row,
    mark_modified,
    missing_row_error,
    names_marked_modified,
    replace_children,
    rolled_back,
    session,
    transaction_mode,
    update,
    use_engines,
    uses_session_transaction,
)
from .text_keys import fold
from .text_search import matches_words
from .visible_text import drop_invisible, trim_invisible

__all__ = [
    "MAX_REFERENCE_LENGTH",
    "PROJECT_ROOT",
    "Base",
    "ConstraintError",
    "Engines",
    "ExternallyReferenced",
    "Parameters",
    "Query",
    "TransactionMode",
    "UnsupportedEncoding",
    "Versioned",
    "alembic_config",
    "audit",
    "begin_separate_transaction",
    "cached_query",
    "check_queries",
    "configure_engines",
    "constraint_errors_by_name",
    "create_unpooled_engine",
    "current_engines",
    "delete",
    "derived_value",
    "drop_invisible",
    "error_info",
    "fetch_all",
    "fetch_autocommit",
    "fetch_one",
    "fold",
    "folded",
    "insert",
    "is_derived",
    "latest_revision",
    "lock_row",
    "mark_modified",
    "matches_words",
    "missing_row_error",
    "names_marked_modified",
    "not_blank",
    "replace_children",
    "rolled_back",
    "searchable",
    "session",
    "sort_column",
    "sortable",
    "table",
    "transaction_mode",
    "trim_invisible",
    "update",
    "use_engines",
    "uses_session_transaction",
]
