"""Rate limits: how many requests of a token, or of an address without one, a minute may have."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import ceil
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from flask import Flask, current_app

from alchemist import errors
from alchemist.config import Settings

from .request import request
from .trusted_proxies import parse_address

logger = logging.getLogger(__name__)

# The policies, by the names that `RateLimit-Policy` has.
REQUESTS = "requests"
COSTLY_REQUESTS = "costly-requests"
FAILED_AUTHENTICATIONS = "failed-authentications"
WINDOW = 60  # seconds
# Query parameters that make the database read many more rows than it returns.
COSTLY_PARAMETERS = {"brewable_with", "count", "ingredient", "q"}
# Of one process: 20 MB.
MAX_COUNTERS = 100_000
# Seconds for which a storage that failed is not used.
STORAGE_RETRY_INTERVAL = 5.0
STORAGE_FAILS = "The storage of rate limits fails: this process counts by itself for a while."

View = TypeVar("View", bound=Callable[..., Any])


class Quota(NamedTuple):
    """What a client may still send under a policy; it starts again in `seconds`."""

    limit: int
    remaining: int
    seconds: int


class LocalCounters:
    """Counters in the memory of this process.

    The memory storage of `limits` costs 90 µs a request, because it starts a thread to search for
    expired counters, and 3 ms if there are 100,000.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # By key: the count, and when the window ends. All windows have one length, so the first
        # counter is the first to expire.
        self._counters: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def increment(self, key: str, amount: int) -> tuple[int, float]:
        """Return the new count, and the seconds until it starts again at zero."""
        now = monotonic()
        with self._lock:
            while self._counters and next(iter(self._counters.values()))[1] <= now:
                self._counters.popitem(last=False)
            count, end = self._counters.get(key, (0, now + WINDOW))
            self._counters[key] = count + amount, end
            if len(self._counters) > MAX_COUNTERS:
                self._counters.popitem(last=False)
        return count + amount, end - now


class RateLimiter:
    """Counts requests by policy and client; a policy without a limit is not counted."""

    def __init__(self, limits: Mapping[str, int], storage_url: str | None = None) -> None:
        self._limits = {policy: limit for policy, limit in limits.items() if limit}
        self._local = LocalCounters()
        self._shared = _connect(storage_url) if storage_url else None
        self._shared_from = 0.0

    def count(self, policy: str, client: str | None) -> None:
        """Count a request of the client; raise RateLimited above the limit."""
        quota, count = self._add(policy, client, 1)
        if quota and count > quota.limit:
            raise _rate_limited(policy, quota)

    def check(self, policy: str, client: str | None) -> None:
        """Raise RateLimited if the next request of the client would be above the limit."""
        quota, count = self._add(policy, client, 0)
        if quota and count >= quota.limit:
            raise _rate_limited(policy, quota)

    def _add(self, policy: str, client: str | None, amount: int) -> tuple[Quota | None, int]:
        """Return the quota of the client and its count; a client without a name has none."""
        limit = self._limits.get(policy)
        if limit is None or client is None:
            return None, 0
        count, seconds = self._increment(f"{policy} {client}", amount)
        quota = Quota(limit, max(0, limit - count), max(1, ceil(seconds)))
        request.quotas[policy] = quota
        return quota, count

    def _increment(self, key: str, amount: int) -> tuple[int, float]:
        """Increment the shared counter or, while its storage fails, one of this process."""
        if self._shared and monotonic() >= self._shared_from:
            try:
                count, seconds = self._shared.increment(key, WINDOW, amount)
            except self._shared.errors:
                self._shared_from = monotonic() + STORAGE_RETRY_INTERVAL
                logger.warning(STORAGE_FAILS, exc_info=True)
            else:
                return count, seconds
        return self._local.increment(key, amount)


def _connect(storage_url: str) -> Any:
    from .shared_counters import SharedCounters  # noqa: PLC0415  slow, and rarely needed

    return SharedCounters(storage_url)


def _rate_limited(policy: str, quota: Quota) -> errors.RateLimited:
    detail = f"The limit is {quota.limit} {policy.replace('-', ' ')} in {WINDOW} seconds."
    return errors.RateLimited(detail, quota.seconds)


def limiter() -> RateLimiter:
    """Return the rate limiter of the app."""
    rate_limiter: RateLimiter = current_app.extensions["rate_limiter"]
    return rate_limiter


def costly(view: View) -> View:
    """Count each request of the view as costly, too."""
    view.is_costly = True  # type: ignore[attr-defined]
    return view


def count_request(view: Callable[..., Any]) -> None:
    """Count this request under the policies that its view and its query have.

    Raise RateLimited if the client is above a limit.
    """
    client = f"token {request.caller.token_id}" if request.caller.token_id else address()
    limiter().count(REQUESTS, client)
    if _is_costly(view):
        limiter().count(COSTLY_REQUESTS, client)


def _is_costly(view: Callable[..., Any]) -> bool:
    if getattr(view, "is_costly", False):
        return True
    return bool(request.query_string) and not COSTLY_PARAMETERS.isdisjoint(request.parameters())


def address() -> str | None:
    """Return the IPv4 address of the client, or its IPv6 network; None if it is unknown.

    One IPv6 client has a network of /64 (RFC 6177), and so as many addresses as it likes.
    """
    parsed = parse_address(request.client_address)
    if parsed is None:
        return None
    return str(parsed) if parsed.version == 4 else f"{parsed.packed[:8].hex()}/64"


def headers() -> dict[str, str]:
    """Return the RateLimit headers of this request (draft-ietf-httpapi-ratelimit-headers-11)."""
    quotas = request.quotas.items()
    if not quotas:
        return {}
    policies = [f'"{policy}";q={quota.limit};w={WINDOW}' for policy, quota in quotas]
    states = [f'"{policy}";r={quota.remaining};t={quota.seconds}' for policy, quota in quotas]
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}


def init_app(app: Flask, settings: Settings) -> None:
    """Limit requests as the settings say."""
    limits = {
        REQUESTS: settings.limit_requests,
        COSTLY_REQUESTS: settings.limit_costly_requests,
        FAILED_AUTHENTICATIONS: settings.limit_failed_authentications,
    }
    app.extensions["rate_limiter"] = RateLimiter(limits, settings.limit_storage)
