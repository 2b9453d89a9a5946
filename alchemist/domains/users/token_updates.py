"""Updates many tokens with one statement: revokes them, or replaces their labels."""

from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, func, literal, update

from alchemist import database as db

from .models import Token

ANONYMOUS_LABEL = "Anonymised"


def revoke_with_descendants(condition: ColumnElement[bool]) -> int:
    """Revoke the tokens that match, and recursively those made with them; return how many.

    Each level is a statement of its own. It waits for the requests that are making tokens with
    those of the level, so the next statement sees these new tokens.
    """
    count, revoked = 0, _revoke_matching(condition)
    while revoked:
        count += len(revoked)
        revoked = _revoke_matching(Token.made_with_id == any_(literal(revoked, ARRAY(Uuid))))
    return count


def anonymise_labels(user_id: UUID) -> None:
    """Replace the labels of all tokens of a user, because they may be personal."""
    _update_and_audit(
        Token.user_id == user_id, Token.label != ANONYMOUS_LABEL, label=ANONYMOUS_LABEL
    )


def _revoke_matching(condition: ColumnElement[bool]) -> list[UUID]:
    return _update_and_audit(
        condition, Token.revoked_at.is_(None), revoked_at=func.clock_timestamp()
    )


def _update_and_audit(*conditions: ColumnElement[bool], **values: Any) -> list[UUID]:
    """Update the tokens that match, and audit each of them; return their primary keys."""
    statement = update(Token).where(*conditions).values(**values, version=Token.version + 1)
    pks = list(db.session.scalars(statement.returning(Token.pk)))
    for pk in pks:
        db.queue_audit_entry("update", Token, pk, *values)
    return pks
