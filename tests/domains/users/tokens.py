"""Tokens in the database, and the URL of the tokens of a user."""

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from alchemist import database as db
from alchemist.domains.users import token_format
from alchemist.domains.users.models import Token, User
from alchemist.domains.users.permissions import ROLE_PERMISSIONS
from tests.factories import bearer

EXPIRES_AT = "2099-01-01T00:00:00Z"


def tokens_url(user: User) -> str:
    return f"/api/v2/users/{user.pk}/tokens"


def stored_labels(user: User) -> list[str]:
    """Return the labels of all tokens of a user."""
    statement = text("SELECT label FROM tokens WHERE user_id = :pk")
    return list(db.session.scalars(statement, {"pk": user.pk}))


def insert_user_with_token(
    connection: Connection, role: str = "customer", **values: Any
) -> tuple[Any, Any, dict[str, str]]:
    """Commit a user with a token; return both primary keys and the headers of a request."""
    secret = token_format.generate()
    with Session(connection, expire_on_commit=False) as session:
        user = User(email=f"{secret.lower()}@alchemist.example", full_name="Somebody", role=role)
        session.add(user)
        session.flush()
        token = Token(
            user_id=user.pk,
            label="Till",
            digest=token_format.digest(secret),
            **{"expires_at": EXPIRES_AT, "permissions": sorted(ROLE_PERMISSIONS[role])} | values,
        )
        session.add(token)
        session.commit()
    return user.pk, token.pk, bearer(secret)
