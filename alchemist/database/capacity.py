"""Whether PostgreSQL accepts as many connections as a node may open."""

import logging

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from alchemist.config import Settings

from .session import fetch_autocommit

logger = logging.getLogger(__name__)

# The limits of the server without its reserved connections, of the role and of the database: -1 is
# no limit. `reserved_connections` exists from PostgreSQL 16 on.
MAX_CONNECTIONS = text("""
    SELECT least(
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
    )
""")


def max_node_connections(settings: Settings) -> int:
    """Return how many connections to the primary a node may open: two pools in each worker."""
    return settings.workers * settings.connections_per_pool * 2


def warn_if_pools_exceed_max_connections(settings: Settings) -> None:
    """Log a warning if PostgreSQL accepts fewer connections; do nothing if it fails.

    Behind a pooler the limit is that of the pooler, which PostgreSQL does not know.
    """
    if settings.limits == "role":
        return
    try:
        [(accepted,)] = fetch_autocommit(MAX_CONNECTIONS)
    except SQLAlchemyError:
        return
    opened = max_node_connections(settings)
    if opened > accepted:
        logger.warning(
            "This node may open %s connections, and PostgreSQL accepts %s in all: lower "
            "ALCHEMIST_POOL_SIZE, or raise the limit of the server, the role or the database.",
            opened,
            accepted,
        )
