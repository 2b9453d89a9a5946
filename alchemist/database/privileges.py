"""The privileges of the database role that the service runs as."""

import logging

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from .session import fetch_autocommit

logger = logging.getLogger(__name__)

CAN_CHANGE_AUDIT_LOG = text("SELECT has_table_privilege('audit_log', 'UPDATE, DELETE, TRUNCATE')")
WARNING = (
    "The database role of the service can change the audit log and the tables. `alchemist grant` "
    "makes a role that cannot."
)


def warn_if_audit_log_is_writable() -> None:
    """Log a warning if the role can change the audit log; do nothing if PostgreSQL fails."""
    try:
        [(can_change,)] = fetch_autocommit(CAN_CHANGE_AUDIT_LOG)
    except SQLAlchemyError:
        return
    if can_change:
        logger.warning(WARNING)
