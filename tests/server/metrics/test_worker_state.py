"""What a worker publishes of its state."""

from collections import Counter
from contextlib import closing
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import TimeoutError as PoolTimeout

from alchemist.config import parse_database_url
from alchemist.server.metrics.worker_state import Publisher

POOL = "db_client_connection_pool_name"


@pytest.fixture
def worker():
    """The members of a worker that are published."""
    return SimpleNamespace(
        tpool=type("Pool", (list,), {"started": 3, "finished": 1, "queued_seconds": 0.5})([1, 2]),
        connections={1, 2, 3},
        received=SimpleNamespace(bytes=10),
        unsent=SimpleNamespace(bytes=20),
        rejections=Counter({"queue-full": 4}),
    )


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


def test_totals_are_added_once_and_states_replace_each_other(worker, make_committing_app):
    make_committing_app()
    publisher = Publisher(worker)
    rejected = ("alchemist_rejected_requests_total", {"reason": "queue-full"})
    before = value("alchemist_queue_requests_total"), value(rejected[0], **rejected[1])
    publisher.publish()
    publisher.publish()
    worker.tpool.started, worker.rejections["queue-full"] = 5, 6
    publisher.publish()
    assert value("alchemist_queue_requests_total") - before[0] == 5
    assert value(rejected[0], **rejected[1]) - before[1] == 6
    assert value("http_server_active_requests") == 4
    assert value("alchemist_queue_length") == 2
    assert value("alchemist_connections") == 3
    assert value("alchemist_buffered_bytes", buffer="unsent") == 20


def test_every_pool_is_published_those_of_standbys_too(worker, make_committing_app, fresh_database):
    url = parse_database_url(fresh_database.render_as_string(hide_password=False))
    make_committing_app(replica_url=url, threads=7)
    Publisher(worker).publish()
    host = fresh_database.query.get("host") or fresh_database.host
    sizes = [
        value("db_client_connection_max", **{POOL: name})
        for name in ("transaction", "autocommit", host)
    ]
    # One connection more for the check of the standby.
    assert sizes == [7, 7, 8]


def test_a_wait_for_a_connection_is_counted_with_its_time(make_committing_app):
    engine = make_committing_app(threads=1, pool_timeout=0.01).extensions["engines"].autocommit
    with closing(engine.raw_connection()):
        assert (engine.pool.waits, engine.pool.wait_seconds) == (0, 0)
        with pytest.raises(PoolTimeout):
            engine.raw_connection()
    assert engine.pool.waits == 1
    assert engine.pool.wait_seconds >= 0.01
