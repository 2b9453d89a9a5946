"""A sample of hostile input for every operation of both documents, in process."""

import os
from random import Random

import pytest

from alchemist import db, examples
from tests.hostile.families import FAMILIES, judged, requests, sample
from tests.hostile.operations import operations
from tests.hostile.transports import into

SEED = 20261120
# Of each family and operation. More of them find more and take longer.
MOST = int(os.environ.get("HOSTILE_REQUESTS", "12"))


@pytest.fixture
def furnished(client):
    """The database of the client, with the example apothecary."""
    for kind, batch in examples._batches():
        examples._add(db.session.connection(), examples.KINDS[kind], batch)
    db.session.commit()
    return client


@pytest.fixture
def send(app, furnished):
    """Return what sends a request and undoes it, so that every one finds the same rows."""
    return into(app)


@pytest.fixture
def undone():
    """Return a context manager that undoes what happens in it, commits of the app included."""
    connection = db.session.session_factory.kw["bind"]

    class Undone:
        def __enter__(self):
            db.session.remove()
            self.savepoint = connection.begin_nested()

        def __exit__(self, *_):
            db.session.remove()
            self.savepoint.rollback()

    return Undone


@pytest.mark.parametrize("family", [*FAMILIES, "cursors"])
@pytest.mark.parametrize("version", ["v2", "v1"])
def test_nothing_hostile_breaks_an_operation(app, send, undone, version, family):
    chance = Random(SEED)
    document = app.extensions["versions"][version].content
    found = []
    for operation in operations(version, document):
        for request in sample(requests(family, operation, send), MOST, chance):
            with undone():
                found += judged(operation, request, send)
    assert not found, f"{len(found)} with seed {SEED}:\n" + "\n".join(found[:int(os.environ.get("SHOW","20"))])
