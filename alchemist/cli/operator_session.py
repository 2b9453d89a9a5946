"""A database session for the commands that write."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL

from alchemist import config
from alchemist import database as db
from alchemist.api.request import request
from alchemist.app import create_app
from alchemist.domains.audit import listeners
from alchemist.domains.users.auth import OPEN_ACCESS_CALLER


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


@contextmanager
def operator_request(settings: config.Settings) -> Iterator[None]:
    """Run the block in the context of a request whose caller has all permissions.

    The audit log names the operating-system user, as for all commands.
    """
    app = create_app(settings)
    try:
        with app.test_request_context():
            request.is_command = True
            request.caller = OPEN_ACCESS_CALLER
            yield
    finally:
        app.extensions["engines"].dispose()
