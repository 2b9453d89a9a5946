"""The feed of changes: every committed entry of the audit log once, in an order that misses none.

Transactions commit in another order than they begin. So the feed is read in windows: each has the
entries of the transactions that ended since the window before, and none that can still commit.
Within a window the entries are sorted by number.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, Self

from marshmallow import Schema
from sqlalchemy import Select, String, bindparam, cast, select, text
from sqlalchemy.orm import aliased

from alchemist import database as db
from alchemist import errors
from alchemist.api.json_select import json_object

from .models import OFFSET, AuditEntry

START = "start"
POSITION_PATTERN = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})-([0-9]{1,18}))?")
# The first transaction that has not ended, and the first that has not begun.
SNAPSHOT = text(
    f"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + {OFFSET},"
    f" pg_snapshot_xmax(pg_current_snapshot())::text::bigint + {OFFSET}"
)


class FeedPosition(NamedTuple):
    """Where to continue: after the entry numbered `sequence` of the window of transactions.

    Without `until`, the window ends with the last transaction before all that have not ended.
    """

    since: int
    until: int | None = None
    sequence: int = 0

    def __str__(self) -> str:
        return "-".join(map(str, self)) if self.until else str(self.since)

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the position that a `next` link named; raise BadRequest for any other text."""
        if cursor == START:
            return cls(0)
        match = POSITION_PATTERN.fullmatch(cursor)
        if match is None:
            raise _invalid_cursor_error()
        position = cls(*(int(number) for number in match.groups() if number))
        is_window = position.until is None or position.since < position.until
        if str(position) != cursor or not is_window or (position.until and not position.sequence):
            raise _invalid_cursor_error()
        return position


class ChangesPage(NamedTuple):
    """The entries of a page as a JSON array, their number, and where to continue."""

    body: str
    size: int
    next_position: FeedPosition


def fetch_changes_page(
    schema: Schema, cursor: str | None, limit: int, filters: Mapping[str, Any]
) -> ChangesPage:
    """Return the page after the cursor; without one, begin with the changes from now on.

    Raise BadRequest for a cursor of another database.
    """
    ended, begun = db.fetch_all(SNAPSHOT)[0]
    position = FeedPosition(ended) if cursor is None else FeedPosition.parse(cursor)
    if max(position.since, position.until or 0) > begun:
        raise _invalid_cursor_error()
    until = position.until or ended
    values = {**position._asdict(), "until": until, "limit_plus_one": limit + 1, **filters}
    rows = db.fetch_all(_window_select(schema, tuple(filters)), values)
    page = rows[:limit]
    is_complete = len(page) == len(rows)
    next_position = (
        FeedPosition(until) if is_complete else FeedPosition(position.since, until, page[-1][0])
    )
    return ChangesPage(f"[{','.join(body for _, body in page)}]", len(page), next_position)


@cache
def _window_select(schema: Schema, filters: tuple[str, ...]) -> Select[Any]:
    """Return the SELECT of the number and the JSON of each entry of a window."""
    entries = select(AuditEntry).where(
        AuditEntry.transaction_id >= bindparam("since"),
        AuditEntry.transaction_id < bindparam("until"),
        AuditEntry.sequence > bindparam("sequence"),
        *(getattr(AuditEntry, name) == bindparam(name) for name in filters),
    )
    limited = entries.order_by(AuditEntry.sequence).limit(bindparam("limit_plus_one")).subquery()
    body = cast(json_object(schema, aliased(AuditEntry, limited)), String)
    statement = select(limited.c.sequence, body).order_by(limited.c.sequence)
    # A window may have all entries or few: PostgreSQL plans for the actual one.
    return statement.execution_options(prepare=False)


def _invalid_cursor_error() -> errors.ApiError:
    detail = "The cursor is not one of this feed. Begin again, with `after=start` or without one."
    return errors.BadRequest.at_location("parameter", "after", detail, "invalid-cursor")
