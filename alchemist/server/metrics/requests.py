"""Measure each request after its response is made."""

from collections import Counter
from threading import Lock
from typing import Any

from flask import Flask, Response
from prometheus_client import Histogram

from alchemist.api.request import current_request, request
from alchemist.database import deadline

from . import definitions as metrics

# RFC 9110 §9 and RFC 5789. The others have one name, because clients choose them.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
REJECTING_STATUSES = {429, 503}
ORDER_ROUTES = {"/api/v2/orders", "/api/v1/orders/"}
REDEMPTION_ROUTE = "/api/v2/coupons/<uuid:coupon_id>/redemptions"


class RequestTotals:
    """Totals of the requests of this process, which are published once a second.

    A number costs a tenth of a counter of prometheus_client, which writes to a file in memory.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.statements = 0
        self.statement_seconds = 0.0
        # By whether the caller was cached.
        self.token_lookups: Counter[bool] = Counter()

    def add(self, *, is_caller_cached: bool | None) -> None:
        """Add the request of this thread."""
        with self._lock:
            self.statements += deadline.statement_count()
            self.statement_seconds += deadline.statement_seconds()
            if is_caller_cached is not None:
                self.token_lookups[is_caller_cached] += 1


totals = RequestTotals()
# No more than there are routes, methods and statuses.
_durations: dict[tuple[str, str, int], Histogram] = {}


def _measure(response: Response) -> Response:
    current = current_request()
    route = current.url_rule.rule if current.url_rule else ""
    _duration_histogram(current.method, route, response.status_code).observe(
        deadline.elapsed_ms() / 1000
    )
    totals.add(is_caller_cached=current.is_caller_cached)
    if current.retries:
        metrics.RETRIES.inc(current.retries)
    if current.method == "POST":
        _count_replay_order_and_coupon(route, response, current.json_body)
    if response.status_code in REJECTING_STATUSES and current.error:
        metrics.REJECTIONS.labels(current.error.problem_type.code).inc()
    return response


def _duration_histogram(method: str, route: str, status: int) -> Histogram:
    key = (method if method in METHODS else "_OTHER", route, status)
    if key not in _durations:
        _durations[key] = metrics.REQUEST_DURATION.labels(*key)
    return _durations[key]


def _count_replay_order_and_coupon(route: str, response: Response, json_body: Any) -> None:
    """Count a replay, or the order and the coupon of a POST that was carried out."""
    is_replay = "Idempotent-Replayed" in response.headers
    if is_replay:
        metrics.REPLAYS.inc()
    if response.status_code != 201 or is_replay or request.is_dry_run:
        return
    is_order = route in ORDER_ROUTES
    if is_order:
        metrics.ORDERS_PLACED.inc()
    if route == REDEMPTION_ROUTE or (is_order and (json_body or {}).get("coupon_code")):
        metrics.COUPONS_REDEEMED.inc()


def init_app(app: Flask) -> None:
    """Measure the requests of an app."""
    app.after_request(_measure)
