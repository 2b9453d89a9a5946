"""Publish the state of a worker once a second, instead of each change of it."""

import logging
from threading import Lock, Thread
from time import sleep
from typing import Any

from prometheus_client import Counter, Gauge

from alchemist import database as db

from . import definitions as metrics
from .requests import totals

logger = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds


class Publisher:
    """Copies what a worker knows to the metrics."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        # The totals of the last time, by counter and labels.
        self._published: dict[tuple[Counter, tuple[str, ...]], float] = {}
        self._lock = Lock()

    def start(self) -> None:
        """Publish the state until the process ends."""
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.publish()
            except Exception:
                logger.exception("The metrics of this worker could not be published.")
            sleep(INTERVAL)

    def publish(self) -> None:
        """Publish the state of now."""
        with self._lock:
            self._publish_worker()
            self._publish_requests()
            for name, engine in db.current_engines().by_name().items():
                self._publish_pool(name, engine.pool)

    def _publish_worker(self) -> None:
        worker, pool = self._worker, self._worker.tpool
        _set_gauge(metrics.WORKERS, 1)
        _set_gauge(metrics.ACTIVE_REQUESTS, pool.started - pool.finished)
        _set_gauge(metrics.QUEUE_LENGTH, len(pool))
        _set_gauge(metrics.CONNECTIONS, len(worker.connections))
        _set_gauge(metrics.BUFFERED_BYTES, worker.received.bytes, "received")
        _set_gauge(metrics.BUFFERED_BYTES, worker.unsent.bytes, "unsent")
        self._increase_by_growth(metrics.QUEUED_REQUESTS, pool.started)
        self._increase_by_growth(metrics.QUEUE_SECONDS, pool.queued_seconds)
        for reason, count in list(worker.rejections.items()):
            self._increase_by_growth(metrics.REJECTIONS, count, reason)

    def _publish_requests(self) -> None:
        self._increase_by_growth(metrics.STATEMENTS, totals.statements)
        self._increase_by_growth(metrics.STATEMENT_SECONDS, totals.statement_seconds)
        self._increase_by_growth(metrics.TOKEN_LOOKUPS, totals.token_lookups[True], "cache")
        self._increase_by_growth(metrics.TOKEN_LOOKUPS, totals.token_lookups[False], "database")

    def _publish_pool(self, name: str, pool: Any) -> None:
        _set_gauge(metrics.POOL_CONNECTIONS, pool.checkedout(), name, "used")
        _set_gauge(metrics.POOL_SIZE, pool.size(), name)
        self._increase_by_growth(metrics.POOL_WAITS, pool.waits, name)
        self._increase_by_growth(metrics.POOL_WAIT_SECONDS, pool.wait_seconds, name)

    def _increase_by_growth(self, counter: Counter, total: float, *labels: str) -> None:
        """Increase a counter by what a total has grown since the last time."""
        growth = total - self._published.get((counter, labels), 0)
        self._published[counter, labels] = total
        (counter.labels(*labels) if labels else counter).inc(growth)


def _set_gauge(gauge: Gauge, value: float, *labels: str) -> None:
    (gauge.labels(*labels) if labels else gauge).set(value)
