"""Counters in Redis or Valkey, which all processes of all nodes share."""

from time import time
from typing import Any

from limits.storage import RedisStorage
from redis.backoff import NoBackoff
from redis.retry import Retry

# Seconds that a request waits for the storage.
TIMEOUT = 0.2


class SharedCounters:
    """Counters that start again at zero when their window ends."""

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = {
            "socket_connect_timeout": TIMEOUT,
            "socket_timeout": TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
        }
        # One client serves both, because they have the same protocol.
        self._storage = RedisStorage(url.replace("valkey", "redis", 1), **options)
        self.errors = self._storage.base_exceptions

    def increment(self, key: str, window: int, amount: int) -> tuple[int, float]:
        """Add `amount` to a counter; return its new value, and the seconds until its window ends.

        Raise one of `errors` if the storage fails.
        """
        count = self._storage.incr(key, window, amount)
        return count, self._storage.get_expiry(key) - time()
