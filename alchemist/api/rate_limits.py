"""Rate limits: how many requests of a token, or of an address without one, a minute may have."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from math import ceil
from threading import Lock
from time import monotonic
from typing import Any, TypeVar, cast

from flask import Flask, current_app

from alchemist import errors
from alchemist.config import Settings
from alchemist.database import deadline

from .json_body import loads_strict
from .request import Request, app_extensions, current_request, request
from .trusted_proxies import parse_address

logger = logging.getLogger(__name__)

# The policies, by the names that `RateLimit-Policy` has.
REQUESTS = "requests"
COSTLY_REQUESTS = "costly-requests"
FAILED_AUTHENTICATIONS = "failed-authentications"
COUPON_MISSES = "coupon-misses"
WINDOW = 60  # seconds
# Query parameters that make the database read many more rows than it returns.
COSTLY_PARAMETERS = {"brewable_with", "count", "expand", "ingredient", "q"}
# Where the WSGI environment has, by policy, the limit of the client, what is left of it, and the
# seconds until it starts again.
ENVIRON_KEY = "alchemist.quotas"
# Of one process: 20 MB.
MAX_COUNTERS = 100_000
# Seconds for which a storage that failed is not used.
STORAGE_RETRY_INTERVAL = 5.0
STORAGE_FAILS = "The storage of rate limits fails: this process counts by itself for a while."

View = TypeVar("View", bound=Callable[..., Any])


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
            count, end = self._counters.get(key, (0, 0.0))
            if end <= now:
                count, end = 0, now + WINDOW
                self._drop_expired_or_oldest(now)
            self._counters[key] = count + amount, end
        return count + amount, end - now

    def _drop_expired_or_oldest(self, now: float) -> None:
        """Drop those that have expired, and the oldest if there are too many."""
        counters = self._counters
        while counters and (
            next(iter(counters.values()))[1] <= now or len(counters) >= MAX_COUNTERS
        ):
            counters.popitem(last=False)


class RateLimiter:
    """Counts requests by policy and client; a policy without a limit is not counted."""

    def __init__(self, limits: Mapping[str, int], storage_url: str | None = None) -> None:
        self._limits = {policy: limit for policy, limit in limits.items() if limit}
        self.has_no_limits = not self._limits
        self._local = LocalCounters()
        self._increment = self._local.increment
        self._shared_from = 0.0
        if storage_url:
            self._shared = _open_shared_counters(storage_url)
            self._increment = self._increment_shared_or_local

    def count_or_raise(self, policy: str, client: str | None, amount: int = 1) -> None:
        """Count a request of the client; raise RateLimited above the limit.

        With an amount of 0, raise it if the next request would be above the limit.
        """
        limit = self._limits.get(policy)
        if limit is None or client is None:
            return
        count, exact_seconds = self._increment(f"{policy} {client}", amount)
        seconds = ceil(exact_seconds) or 1
        remaining = limit - count if count < limit else 0
        quotas = current_request().environ.setdefault(ENVIRON_KEY, {})
        quotas[policy] = limit, remaining, seconds
        if count >= limit + amount:
            detail = f"The limit is {limit} {policy.replace('-', ' ')} in {WINDOW} seconds."
            raise errors.RateLimited(detail, seconds)

    def _increment_shared_or_local(self, key: str, amount: int) -> tuple[int, float]:
        """Increment the shared counter or, while its storage fails, one of this process."""
        if monotonic() >= self._shared_from:
            try:
                count, seconds = self._shared.increment(key, WINDOW, amount)
            except self._shared.errors:
                self._shared_from = monotonic() + STORAGE_RETRY_INTERVAL
                logger.warning(STORAGE_FAILS, exc_info=True)
            else:
                return count, seconds
        return self._local.increment(key, amount)


def _open_shared_counters(storage_url: str) -> Any:
    from .shared_counters import SharedCounters  # noqa: PLC0415  slow, and rarely needed

    return SharedCounters(storage_url)


def current_limiter() -> RateLimiter:
    """Return the rate limiter of the app."""
    rate_limiter: RateLimiter = app_extensions()["rate_limiter"]
    return rate_limiter


def count_as_costly(view: View) -> View:
    """Count each request of the view as costly, too."""
    view.is_costly = True  # type: ignore[attr-defined]
    return view


def count_request_or_raise(view: Callable[..., Any]) -> None:
    """Count this request under the policies that its view and its query have.

    Raise RateLimited if the client is above a limit.
    """
    rate_limiter = current_limiter()
    if rate_limiter.has_no_limits:
        return
    current = current_request()
    client = _client_of(current)
    rate_limiter.count_or_raise(REQUESTS, client)
    if getattr(view, "is_costly", False) or _has_costly_parameters(current):
        rate_limiter.count_or_raise(COSTLY_REQUESTS, client)


def count_costly_request_or_raise() -> None:
    """Count this request as costly; raise RateLimited if the client is above the limit."""
    current_limiter().count_or_raise(COSTLY_REQUESTS, _client_of(request))


def _client_of(request: Request) -> str | None:
    token_id = request.caller.token_id
    return f"token {token_id.hex}" if token_id else address_or_network(request.client_address)


def _has_costly_parameters(request: Request) -> bool:
    has_query = bool(request.environ.get("QUERY_STRING"))
    return has_query and not COSTLY_PARAMETERS.isdisjoint(request.query_parameters())


def limit_misses(policy: str, field: str) -> Callable[[View], View]:
    """Count the requests of a user whose body has an error in a field.

    Above the limit, raise RateLimited for each body that has the field.
    """

    def decorator(view: View) -> View:
        @wraps(view)
        def wrapper(*args: Any, **path: Any) -> Any:
            client = f"user {request.caller}"
            try:
                current_limiter().count_or_raise(policy, client, 0)
            except errors.RateLimited:
                body = loads_strict(request.body)
                if isinstance(body, dict) and body.get(field) is not None:
                    raise
            try:
                return view(*args, **path)
            except errors.ApiError as error:
                if any(each.get("pointer") == f"#/{field}" for each in error.errors):
                    current_limiter().count_or_raise(policy, client)
                raise

        return cast(View, wrapper)

    return decorator


def shorten_timeout_of_anonymous_searches() -> None:
    """Limit the time that PostgreSQL may take, if this is a search or count without a token."""
    current = current_request()
    if not current.caller.permissions and _has_costly_parameters(current):
        deadline.limit_waits(current_app.extensions["anonymous_search_timeout"])


def client_address_or_network() -> str | None:
    """Return the IPv4 address of the client, or its IPv6 network; None if it is unknown."""
    return address_or_network(request.client_address)


# Bounded, because clients choose their addresses.
@lru_cache(maxsize=1024)
def address_or_network(text: str) -> str | None:
    """Return an IPv4 address, or the network of /64 of an IPv6 address; None for other text.

    One IPv6 client has such a network (RFC 6177), and so as many addresses as it likes.
    """
    parsed = parse_address(text)
    if parsed is None:
        return None
    return str(parsed) if parsed.version == 4 else f"{parsed.packed[:8].hex()}/64"


def rate_limit_headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the RateLimit headers of a request (draft-ietf-httpapi-ratelimit-headers-11)."""
    quotas: Mapping[str, tuple[int, int, int]] | None = environ.get(ENVIRON_KEY)
    if not quotas:
        return []
    policies = [f'"{name}";q={limit};w={WINDOW}' for name, (limit, _, _) in quotas.items()]
    states = [f'"{name}";r={left};t={seconds}' for name, (_, left, seconds) in quotas.items()]
    return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))]


def init_app(app: Flask, settings: Settings) -> None:
    """Limit requests as the settings say."""
    limits = {
        REQUESTS: settings.limit_requests,
        COSTLY_REQUESTS: settings.limit_costly_requests,
        FAILED_AUTHENTICATIONS: settings.limit_failed_authentications,
        COUPON_MISSES: settings.limit_coupon_misses,
    }
    app.extensions["anonymous_search_timeout"] = settings.anonymous_search_timeout
    app.extensions["rate_limiter"] = RateLimiter(limits, settings.limit_storage)
