"""A database session for the commands that write."""

from collections.abc import Iterator
from contextlib import contextmanager

from alchemist import config
from alchemist import database as db
from alchemist.domains.audit import listeners

from . import migrations


@contextmanager
def operator_session() -> Iterator[None]:
    """Bind the session to the database of DATABASE_URL, and commit at the end."""
    listeners.register_listeners()
    url = config.load().database_url
    migrations.require_latest_revision(url)
    db.session.configure(bind=db.create_unpooled_engine(url))
    try:
        with db.session.begin():
            yield
    finally:
        db.session.remove()
