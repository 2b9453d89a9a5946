"""The deadline and the statement counter of the current request, one pair per thread."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class _RequestState(threading.local):
    # Both in seconds of the monotonic clock.
    started_at = 0.0
    deadline = math.inf
    # Seconds that one wait for the database may take.
    max_wait = math.inf
    statements = 0
    statement_seconds = 0.0
    # Names and seconds of those that took long.
    slow_statements: tuple[tuple[str, float], ...] = ()
    has_read_replica = False


_state = _RequestState()


def start_request(seconds: float) -> None:
    """Start a request that may take this many seconds."""
    _state.started_at = monotonic()
    _state.deadline = _state.started_at + seconds
    _state.max_wait = math.inf
    _state.statements = 0
    _state.statement_seconds = 0.0
    _state.slow_statements = ()
    _state.has_read_replica = False


def clear(_error: object = None) -> None:
    """Remove the deadline: the request is over. Takes the argument of a Flask teardown function."""
    _state.deadline = _state.max_wait = math.inf


def limit_waits(seconds: float) -> None:
    """Let each wait of the request for the database take this many seconds at most."""
    _state.max_wait = seconds


def wait_limit() -> float:
    """Return the seconds that `limit_waits` has set for the request, or infinity."""
    return _state.max_wait


@contextmanager
def separate_wait_limit(seconds: float) -> Iterator[None]:
    """Limit each wait of the block; one that reaches the limit does not end the request."""
    before = _state.deadline, _state.max_wait
    limit_waits(min(seconds, _state.max_wait))
    try:
        yield
    finally:
        _state.deadline, _state.max_wait = before


def expire() -> None:
    """Move the deadline of the request to now: no other statement is started."""
    _state.deadline = monotonic()


def max_wait() -> float:
    """Return the seconds that a wait for the database may take now, or infinity."""
    return min(remaining(), _state.max_wait)


def remaining() -> float:
    """Return the seconds until the deadline of the request, or infinity outside of a request."""
    return _state.deadline - monotonic()


def elapsed_ms() -> float:
    """Return the milliseconds since the request started."""
    return (monotonic() - _state.started_at) * 1000


def statement_count() -> int:
    """Return the number of statements of the request, without BEGIN, COMMIT and ROLLBACK."""
    return _state.statements


def statement_seconds() -> float:
    """Return the seconds that the statements of the request took."""
    return _state.statement_seconds


def slow_statements() -> tuple[tuple[str, float], ...]:
    """Return the name and the seconds of each slow statement of the request."""
    return _state.slow_statements


def count_statement() -> None:
    """Count a statement of the request."""
    _state.statements += 1


def add_statement_time(seconds: float) -> None:
    """Add the time of a statement to that of the request."""
    _state.statement_seconds += seconds


def add_slow_statement(name: str, seconds: float) -> None:
    """Add a statement to the slow ones of the request; outside of a request, do nothing."""
    if not math.isinf(_state.deadline):
        _state.slow_statements += ((name, seconds),)


def mark_replica_read() -> None:
    """Note that a standby answered a statement of the request."""
    _state.has_read_replica = True


def has_read_replica() -> bool:
    """Return whether a standby answered a statement of the request."""
    return _state.has_read_replica
