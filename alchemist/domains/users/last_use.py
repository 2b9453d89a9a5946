"""Records when tokens were last used: in the background, and many tokens with one statement."""

from contextlib import suppress
from datetime import timedelta
from threading import Lock, Thread
from time import sleep
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from alchemist import database as db

from .models import Token

# A use is recorded if the recorded one is this old.
INTERVAL = timedelta(minutes=1)
# Seconds between two statements.
FLUSH_INTERVAL = 5.0

_IS_STALE = or_(
    Token.last_used_at.is_(None), Token.last_used_at < func.clock_timestamp() - INTERVAL
)
# A locked row is skipped, so that this and a request that changes the token never wait for each
# other.
_STALE_TOKENS = (
    select(Token.pk)
    .where(Token.pk == any_(bindparam("token_ids", type_=ARRAY(Uuid))), _IS_STALE)
    .with_for_update(skip_locked=True)
)
_UPDATE = (
    update(Token)
    .where(Token.pk.in_(_STALE_TOKENS))
    # `updated_at` stays: a use does not change the token.
    .values(last_used_at=func.clock_timestamp(), updated_at=Token.updated_at)
)


class LastUseRecorder:
    """Collects used tokens, and has a thread that writes them: no request waits for that."""

    def __init__(self) -> None:
        self._token_ids: set[UUID] = set()
        self._lock = Lock()
        self._thread = Thread()

    def record(self, token_id: UUID) -> None:
        with self._lock:
            self._token_ids.add(token_id)
            # In a forked process the thread of its parent is not alive.
            if not self._thread.is_alive():
                self._thread = Thread(target=self._flush_regularly, daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write the uses since the last call; those of a database error are lost."""
        with self._lock:
            token_ids, self._token_ids = self._token_ids, set()
        if token_ids:
            with suppress(SQLAlchemyError), db.begin_separate_transaction() as connection:
                connection.execute(_UPDATE, {"token_ids": list(token_ids)})

    def _flush_regularly(self) -> None:
        while True:
            sleep(FLUSH_INTERVAL)
            self.flush()


recorder = LastUseRecorder()
