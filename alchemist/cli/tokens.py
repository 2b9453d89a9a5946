"""`alchemist token`: create, list and revoke API tokens."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from marshmallow import ValidationError
from sqlalchemy import URL, func, select

from alchemist import database as db
from alchemist.domains.users import permissions, service, token_service
from alchemist.domains.users.models import ROLES, Token, User
from alchemist.domains.users.schemas import Email

from . import errors
from .operator_session import operator_session
from .output import echo, echo_table
from .target_database import data_option, running_database

DEV_EMAIL, DEV_LABEL = "admin@alchemist.example", "alchemist dev"


class EmailType(click.ParamType[str]):
    name = "email"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return Email().deserialize(value)
        except ValidationError as error:
            self.fail(" ".join(error.messages), param, ctx)


@click.group()
def token() -> None:
    """Create, list and revoke API tokens.

    A running service rejects a revoked token within a second.

    \b
    Example:
        alchemist token create --email ada@alchemist.example --role admin
    """


@token.command()
@click.option("--email", type=EmailType(), required=True, help="The user of the token.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="The role of a new user; required if the user does not exist.",
)
@click.option("--name", default="", help="The full name of a new user.")
@click.option(
    "--label",
    default="command line",
    show_default=True,
    help="What the token is for.",
)
@click.option(
    "--permission",
    "permissions_",
    type=click.Choice(permissions.ALL_PERMISSIONS),
    multiple=True,
    help="Restrict the token to this permission; may be repeated.",
)
@click.option(
    "--allow-token-creation",
    is_flag=True,
    help="Permit the token to create and revoke tokens, which it otherwise may not.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=90,
    show_default=True,
    help="The number of days until the token expires, up to ALCHEMIST_MAX_TOKEN_DAYS.",
)
@data_option
def create(
    email: str, role: str | None, name: str, days: int, data: Path | None, **values: Any
) -> None:
    """Create a token and print its secret, which cannot be shown again.

    To replace a token without an interruption, create a new one, use it everywhere, and then revoke
    the old one. Tokens that were made with the old one end with it.

    \b
    Example:
        alchemist token create --email ada@alchemist.example --role admin
    """
    with (
        errors.report_expected_errors(),
        running_database(data) as database,
        operator_session(database.url),
    ):
        max_days = database.settings.max_token_days
        if days > max_days:
            raise click.ClickException(f"--days: ALCHEMIST_MAX_TOKEN_DAYS is {max_days}.")
        user = _get_or_create_user(email, role, name)
        _, secret = token_service.issue_token(
            user,
            permissions.ADMIN,
            label=values["label"],
            permissions=_requested_permissions(user, **values),
            expires_at=datetime.now(UTC) + timedelta(days=days),
        )
    description = f"A token for {email} ({user.role}) in {database.location}"
    echo(f"{description}, valid for {days} days:", err=True)
    echo(secret)


@token.command("list")
@click.option("--email", type=EmailType(), help="Only the tokens of this user.")
@data_option
def list_(email: str | None, data: Path | None) -> None:
    """List tokens without their secrets.

    A permission list of `all` means all permissions of the role but `tokens:write`. The time of the
    last use is exact to a minute.

    \b
    Example:
        alchemist token list --email ada@alchemist.example
    """
    tokens = select(Token, User).join(User).order_by(Token.pk)
    with (
        errors.report_expected_errors(),
        running_database(data) as database,
        operator_session(database.url),
    ):
        rows = db.session.execute(
            tokens.where(User.email_folded == email) if email else tokens
        ).all()
    header = ("PK", "STATE", "LAST USED", "ROLE", "EMAIL", "LABEL", "PERMISSIONS")
    echo_table(header, [_table_cells(*row) for row in rows])


def _table_cells(row: Token, user: User) -> tuple[str, ...]:
    last_used = (
        f"{row.last_used_at.astimezone(UTC):%Y-%m-%d %H:%M}Z" if row.last_used_at else "never"
    )
    scope = "all" if row.permissions is None else " ".join(row.permissions) or "none"
    return (str(row.pk), _describe_state(row), last_used, user.role, user.email, row.label, scope)


@token.command()
@click.argument("pk", type=click.UUID)
@data_option
def revoke(pk: UUID, data: Path | None) -> None:
    """Revoke a token, and the tokens that were made with it.

    \b
    Example:
        alchemist token revoke 01935f2e-7c1a-7b3e-9d3c-0123456789ab
    """
    with (
        errors.report_expected_errors(),
        running_database(data) as database,
        operator_session(database.url),
    ):
        row = db.session.get(Token, pk)
        if row is None:
            raise click.ClickException(f"There is no token {pk}.")
        count = token_service.revoke_token(row)
    others = f", and {count - 1} made with it" if count > 1 else ""
    echo(f"Revoked: {pk}{others}, in {database.location}.")


def create_dev_token(url: URL) -> str | None:
    """Return the secret of an admin's new token, or None if an earlier one is still valid."""
    with operator_session(url):
        is_valid = Token.revoked_at.is_(None) & (Token.expires_at > func.now())
        if db.session.scalar(select(Token.pk).where(Token.label == DEV_LABEL, is_valid).limit(1)):
            return None
        user = _get_or_create_user(DEV_EMAIL, "admin", "Admin of the development server")
        return token_service.issue_token(
            user, permissions.ADMIN, label=DEV_LABEL, permissions=permissions.ALL_PERMISSIONS
        )[1]


def _requested_permissions(
    user: User, *, permissions_: tuple[str, ...], allow_token_creation: bool, **_: Any
) -> list[str] | None:
    """Return the list of permissions of the new token, or None for the default ones."""
    if not allow_token_creation:
        return list(permissions_) or None
    role_permissions = permissions.ROLE_PERMISSIONS[user.role]
    return sorted(
        (set(permissions_) or role_permissions) | permissions.ON_REQUEST & role_permissions
    )


def _get_or_create_user(email: str, role: str | None, name: str) -> User:
    # Locked, because the number of tokens of a user is limited.
    query = select(User).where(User.email_folded == email).with_for_update(key_share=True)
    user: User | None = db.session.scalars(query).one_or_none()
    if user is None:
        if role is None:
            raise click.ClickException(f"There is no user {email}: use --role to create one.")
        values = {"email": email, "full_name": db.trim_invisible(name) or email, "role": role}
        return db.insert(service.create(permissions.ADMIN, **values))
    if role not in (None, user.role):
        raise click.ClickException(f"The user {email} exists with the role {user.role}.")
    return user


def _describe_state(row: Token) -> str:
    if row.revoked_at:
        return "revoked"
    return "expired" if row.expires_at < datetime.now(UTC) else f"until {row.expires_at:%Y-%m-%d}"
