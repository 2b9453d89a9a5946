"""What the request of this thread has used so far: statements, and time, which it has little of."""

import math
import threading
from time import monotonic


class _RequestState(threading.local):
    began = 0.0
    ends = math.inf
    statements = 0


_state = _RequestState()


def start(seconds: float) -> None:
    _state.began = monotonic()
    _state.ends = _state.began + seconds
    _state.statements = 0


def clear(_error: object = None) -> None:
    """Let what this thread does next take as long as it needs."""
    _state.ends = math.inf


def remaining() -> float:
    """Return the seconds that are left to the request; without one there is no limit."""
    return _state.ends - monotonic()


def elapsed_ms() -> float:
    """Return the milliseconds since the request began."""
    return (monotonic() - _state.began) * 1000


def statement_count() -> int:
    """Return how many statements went to PostgreSQL; BEGIN, COMMIT and ROLLBACK are not counted."""
    return _state.statements


def count_statement() -> None:
    _state.statements += 1
