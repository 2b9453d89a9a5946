"""`alchemist revocations` and `after-restore`: what a restored backup would bring back to life."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import click
from marshmallow import ValidationError
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Uuid,
    any_,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

import alchemist.app  # noqa: F401  registers what the domains do when a user is anonymised
from alchemist import database as db
from alchemist.api import stored_responses
from alchemist.api.fields import UtcDateTime
from alchemist.domains.audit.models import OFFSET, OFFSET_SEQUENCE, AuditEntry
from alchemist.domains.users import service, token_updates
from alchemist.domains.users.models import Token, User

from . import errors
from .operator_session import operator_session
from .output import echo
from .target_database import data_option, running_database

# More than the transactions between a backup and the loss of its database: every position in the
# feed of changes that a client has is lower than those of later changes.
FEED_DISTANCE = 2**40
CONTINUE_FEED = select(
    func.setval(
        OFFSET_SEQUENCE.name,
        func.greatest(func.max(AuditEntry.transaction_id), literal_column(OFFSET)) + FEED_DISTANCE,
    )
)
REVOKE_TOKEN, SUSPEND_USER, ANONYMISE_USER = "revoke-token", "suspend-user", "anonymise-user"


class InstantType(click.ParamType[datetime]):
    name = "instant"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return UtcDateTime().deserialize(value)
        except ValidationError as error:
            self.fail(" ".join(error.messages), param, ctx)


IS_ANONYMOUS = User.email.like(f"%{service.ANONYMOUS_DOMAIN}")


def _is_deletion_of(resource: str) -> ColumnElement[bool]:
    return (AuditEntry.action == "delete") & (AuditEntry.resource == resource)


def _action_select(
    action: str, instant: Any, pk: Any, condition: ColumnElement[bool]
) -> Select[Any]:
    return select(literal_column(f"'{action}'"), instant, pk).where(condition)


# A deleted user is anonymised after a restore: rows that were deleted with them may refer to them.
REVOCATIONS = union_all(
    _action_select(REVOKE_TOKEN, Token.revoked_at, Token.pk, Token.revoked_at.is_not(None)),
    _action_select(
        REVOKE_TOKEN, AuditEntry.created_at, AuditEntry.resource_pk, _is_deletion_of("tokens")
    ),
    _action_select(SUSPEND_USER, User.suspended_at, User.pk, User.suspended_at.is_not(None)),
    _action_select(ANONYMISE_USER, User.updated_at, User.pk, IS_ANONYMOUS),
    _action_select(
        ANONYMISE_USER, AuditEntry.created_at, AuditEntry.resource_pk, _is_deletion_of("users")
    ),
).order_by(literal_column("2"), literal_column("3"))


@click.command()
@data_option
def revocations(data: Path | None) -> None:
    """List what a restored backup must not bring back: revoked tokens, suspended and deleted users.

    Prints one line for each, with an instant, what to do, and a key, and no personal data. Run this
    every hour, keep the output beside the backups, and give it to `after-restore`.

    \b
    Example:
        alchemist revocations > alchemist.revocations
    """
    with (
        errors.report_expected_errors(),
        running_database(data) as database,
        operator_session(database.url),
    ):
        for action, instant, pk in db.session.execute(REVOCATIONS):
            echo(f"{instant.isoformat()} {action} {pk}")


@click.command("after-restore")
@click.option(
    "--since",
    type=InstantType(),
    required=True,
    metavar="INSTANT",
    help="When the backup was begun, or earlier, as in 2026-11-20T02:00:00Z.",
)
@click.argument("file", type=click.File(encoding="utf-8"), required=False)
@data_option
def after_restore(since: datetime, file: IO[str] | None, data: Path | None) -> None:
    """Do again in a restored database what was revoked since the backup.

    FILE is the output of `alchemist revocations`, of a later time than the backup: its tokens are
    revoked, its users are suspended or anonymised. Without FILE nobody knows which tokens were
    revoked, so all tokens of the backup are. Clients of the feed of changes can continue with what
    the backup has and with what changes from now on. Run this before the service is started.

    \b
    Example:
        alchemist after-restore --since 2026-11-20T02:00:00Z alchemist.revocations
    """
    with (
        errors.report_expected_errors(),
        running_database(data) as database,
        operator_session(database.url),
    ):
        echo(f"Changing {database.location}.")
        pks = _read_pks_by_action(file, since) if file else {}
        is_revoked = Token.pk == any_(literal(pks.get(REVOKE_TOKEN, []), ARRAY(Uuid)))
        count = token_updates.revoke_with_descendants(
            is_revoked if file else Token.created_at <= since
        )
        echo(f"{count} tokens revoked.")
        for action, change in (
            (SUSPEND_USER, service.suspend),
            (ANONYMISE_USER, _anonymise_and_delete_responses),
        ):
            users = _lock_users(pks.get(action, []))
            for user in users:
                change(user, keep_last_admin=False)
            echo(f"{action}: {len(users)} done.")
        db.session.execute(CONTINUE_FEED)
        echo("The feed of changes continues.")


def _read_pks_by_action(file: IO[str], since: datetime) -> dict[str, list[UUID]]:
    """Return the keys of each action since the backup; raise ClickException for another file."""
    pks: dict[str, list[UUID]] = {REVOKE_TOKEN: [], SUSPEND_USER: [], ANONYMISE_USER: []}
    for number, line in enumerate(file, 1):
        try:
            instant, action, pk = line.split()
            parsed = UUID(pk)
            pks[action] += [parsed] if datetime.fromisoformat(instant) >= since else []
        except (ValueError, KeyError, TypeError) as error:
            message = f"{file.name}, line {number}: not a line of `alchemist revocations`."
            raise click.ClickException(message) from error
    return pks


def _lock_users(pks: list[UUID]) -> Sequence[User]:
    """Return those of the users that the backup has."""
    query = select(User).where(User.pk == any_(literal(pks, ARRAY(Uuid)))).order_by(User.pk)
    return db.session.scalars(query.with_for_update()).all()


def _anonymise_and_delete_responses(user: User, *, keep_last_admin: bool) -> None:
    identifiers = (user.pk, user.email)
    service.anonymise(user, keep_last_admin=keep_last_admin)
    stored_responses.delete_responses_mentioning(*identifiers)
