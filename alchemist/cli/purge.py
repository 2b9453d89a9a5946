"""`alchemist purge`: delete what has expired or is old, and cancel expired orders."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import ColumnElement, delete, func

from alchemist import database as db
from alchemist.api import stored_responses
from alchemist.config.settings import MAX_RETENTION_DAYS
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.users.models import Token

from . import errors
from .expire_orders import cancel_expired_orders
from .operator_session import operator_session
from .output import echo
from .target_database import data_option, running_database


@click.command()
@click.option(
    "--token-days",
    type=click.IntRange(0, MAX_RETENTION_DAYS),
    help="Delete tokens that expired or were revoked this many days ago. "
    "[default: ALCHEMIST_TOKEN_RETENTION_DAYS, which is 30 unless it is set]",
)
@click.option(
    "--audit-days",
    type=click.IntRange(1, MAX_RETENTION_DAYS),
    help="Delete audit entries that are this many days old. "
    "[default: ALCHEMIST_AUDIT_RETENTION_DAYS; without it none are deleted]",
)
@data_option
def purge(token_days: int | None, audit_days: int | None, data: Path | None) -> None:
    """Delete expired idempotency keys, old tokens and audit entries; cancel expired orders.

    An idempotency key expires after 24 hours. Run this once a day, for example with cron. The
    service may be running. To delete audit entries, DATABASE_URL must name the
    role that owns the tables. `alchemist expire-orders` cancels orders sooner.

    \b
    Example:
        alchemist purge --token-days 30 --audit-days 365
    """
    with errors.report_expected_errors(), running_database(data) as database:
        settings = database.settings
        if token_days is None:
            token_days = settings.token_retention_days
        if audit_days is None:
            audit_days = settings.audit_retention_days
        echo(f"Deleting from {database.location}.")
        with operator_session(database.url):
            _delete_expired(token_days, audit_days)
        echo(f"{cancel_expired_orders(database.url)} orders cancelled.")


def _delete_expired(token_days: int, audit_days: int | None) -> None:
    echo(f"{stored_responses.delete_expired_responses()} idempotency keys deleted.")
    ended_at = func.least(Token.expires_at, Token.revoked_at)
    echo(f"{_delete_where(Token, ended_at < _days_ago(token_days))} tokens deleted.")
    if audit_days is not None:
        entries = _delete_where(AuditEntry, AuditEntry.created_at < _days_ago(audit_days))
        echo(f"{entries} audit entries deleted.")


def _days_ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _delete_where(model: type[db.Base], condition: ColumnElement[bool]) -> int:
    statement = delete(model).where(condition)
    result: Any = db.session.execute(statement, execution_options={"synchronize_session": False})
    return int(result.rowcount)
