"""PostgreSQL, without HTTP and without any domain."""

from .child_rows import new_children, set_new_children
from .constraints import (
    ConstraintError,
    constraint_errors_by_name,
    constraint_info,
    not_blank,
    unique_constraints,
)
from .deferred_writes import deferred_writes, replace_children
from .derived_columns import derived_value, folded, is_derived, searchable, sort_column, sortable
from .engines import UnsupportedEncoding, create_unpooled_engine
from .external_reference import MAX_REFERENCE_LENGTH, ExternallyReferenced
from .json_rows import json_row_values, json_rows, json_type, to_json
from .migrations import DATABASE_STATE, PROJECT_ROOT, alembic_config, latest_revision
from .models import Base, Versioned, table
from .queries import Parameters, Query, cached_query, check_queries
from .replicas import UNREACHABLE, Position
from .session import (
    CommitMode,
    Engines,
    begin_separate_transaction,
    configure_engines,
    current_engines,
    delete,
    fetch_all,
    fetch_autocommit,
    fetch_one,
    forbidden_or_not_found,
    insert,
    lock_row,
    lock_rows,
    mark_modified,
    names_marked_modified,
    position_of_last_commit,
    queue_audit_entry,
    rolled_back,
    session,
    update,
    use_commit_mode,
    use_engines,
    uses_session_transaction,
)
from .text_keys import fold
from .text_search import matches_words
from .visible_text import drop_invisible_except_spaces, is_plain, trim_invisible

__all__ = [
    "DATABASE_STATE",
    "MAX_REFERENCE_LENGTH",
    "PROJECT_ROOT",
    "UNREACHABLE",
    "Base",
    "CommitMode",
    "ConstraintError",
    "Engines",
    "ExternallyReferenced",
    "Parameters",
    "Position",
    "Query",
    "UnsupportedEncoding",
    "Versioned",
    "alembic_config",
    "begin_separate_transaction",
    "cached_query",
    "check_queries",
    "configure_engines",
    "constraint_errors_by_name",
    "constraint_info",
    "create_unpooled_engine",
    "current_engines",
    "deferred_writes",
    "delete",
    "derived_value",
    "drop_invisible_except_spaces",
    "fetch_all",
    "fetch_autocommit",
    "fetch_one",
    "fold",
    "folded",
    "forbidden_or_not_found",
    "insert",
    "is_derived",
    "is_plain",
    "json_row_values",
    "json_rows",
    "json_type",
    "latest_revision",
    "lock_row",
    "lock_rows",
    "mark_modified",
    "matches_words",
    "names_marked_modified",
    "new_children",
    "not_blank",
    "position_of_last_commit",
    "queue_audit_entry",
    "replace_children",
    "rolled_back",
    "searchable",
    "session",
    "set_new_children",
    "sort_column",
    "sortable",
    "table",
    "to_json",
    "trim_invisible",
    "unique_constraints",
    "update",
    "use_commit_mode",
    "use_engines",
    "uses_session_transaction",
]
