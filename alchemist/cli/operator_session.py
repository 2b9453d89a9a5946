"""A database session for the commands that write."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL

from alchemist import database as db
from alchemist.domains.audit import listeners


@contextmanager
def operator_session(url: URL) -> Iterator[None]:
    """Bind the session to a database, and commit at the end."""
    listeners.register_listeners()
    db.session.configure(bind=db.create_unpooled_engine(url))
    try:
        with db.session.begin():
            yield
    finally:
        db.session.remove()
