"""`alchemist token`: the first token of a production database, and whatever else operators need."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import click
from marshmallow import ValidationError
from sqlalchemy import Engine, NullPool, create_engine, select

from alchemist import config
from alchemist import database as db
from alchemist.domains.audit import listeners
from alchemist.domains.users import permissions, service
from alchemist.domains.users.models import ROLES, Token, User
from alchemist.domains.users.schemas import Email

from . import errors, migrations


class EmailType(click.ParamType[str]):
    name = "email"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return Email().deserialize(value)
        except ValidationError as error:
            self.fail(" ".join(error.messages), param, ctx)


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that callers send.

    They work on the database of DATABASE_URL; a running service knows of a revocation within a
    second.

    \b
    Example:
        alchemist token create --email ada@alchemist.example --role admin
    """


@token.command()
@click.option("--email", type=EmailType(), required=True, help="Whose token it is.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="The role of a user who is not there yet; a user who is there keeps theirs.",
)
@click.option("--name", default="", help="The full name of a user who is not there yet.")
@click.option("--label", default="command line", show_default=True, help="What it is for.")
@click.option(
    "--permission",
    "narrowed",
    type=click.Choice(permissions.ALL_PERMISSIONS),
    multiple=True,
    help="Narrows the token to this one; may be given several times.",
)
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True)
def create(email: str, role: str | None, name: str, days: int, **values: Any) -> None:
    """Make a token, and show its secret once.

    \b
    Example:
        alchemist token create --email ada@alchemist.example --role admin
    """
    with errors.reported(), _operator_session():
        user = _user(email, role, name)
        _, secret = service.issue(
            user,
            permissions.ADMIN,
            label=values["label"],
            permissions=list(values["narrowed"]) or None,
            expires_at=datetime.now(UTC) + timedelta(days=days),
        )
    click.echo(f"A token of {email} ({user.role}), good for {days} days:", err=True)
    click.echo(secret)


@token.command("list")
@click.option("--email", type=EmailType(), help="Only those of this user.")
def list_(email: str | None) -> None:
    """List tokens, without their secrets.

    \b
    Example:
        alchemist token list --email ada@alchemist.example
    """
    tokens = select(Token, User.email).join(User).order_by(Token.pk)
    with errors.reported(), _operator_session():
        found = db.session.execute(tokens.where(User.email == email) if email else tokens).all()
    for row, owner in found:
        click.echo(f"{row.pk}  {_state(row):<22}  {owner}  {row.label}")


@token.command()
@click.argument("pk", type=click.UUID)
def revoke(pk: UUID) -> None:
    """Make a token worthless.

    \b
    Example:
        alchemist token revoke 01935f2e-7c1a-7b3e-9d3c-0123456789ab
    """
    with errors.reported(), _operator_session():
        row = db.session.get(Token, pk)
        if row is None:
            raise click.ClickException(f"There is no token {pk}.")
        service.revoke(row)
    click.echo(f"Revoked: {pk}.")


def _user(email: str, role: str | None, name: str) -> User:
    known: User | None = db.session.scalars(select(User).where(User.email == email)).one_or_none()
    if known is None:
        if role is None:
            raise click.ClickException(f"There is no user {email}: say --role to make one.")
        values = {"email": email, "full_name": name or email, "role": role}
        return db.insert(service.create(permissions.ADMIN, **values))
    if role not in (None, known.role):
        raise click.ClickException(f"{email} is there already, as {known.role}.")
    return known


def _state(row: Token) -> str:
    if row.revoked_at:
        return "revoked"
    return "expired" if row.expires_at < datetime.now(UTC) else f"until {row.expires_at:%Y-%m-%d}"


@contextmanager
def _operator_session() -> Iterator[None]:
    """Give the services a session of the operator's, and commit what they have done."""
    listeners.register_listeners()
    url = config.load().database_url
    migrations.check(url)
    engine: Engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    db.session.configure(bind=engine)
    try:
        with db.session.begin():
            yield
    finally:
        db.session.remove()
