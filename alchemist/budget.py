"""What the request of this thread has used so far: statements, and time, which it has little of."""

import math
import threading
from functools import partial
from time import monotonic

from flask import Flask


class _Used(threading.local):
    began = 0.0
    ends = math.inf
    statements = 0


_used = _Used()


def begin(seconds: float) -> None:
    _used.began = monotonic()
    _used.ends = _used.began + seconds
    _used.statements = 0


def end(_error: object = None) -> None:
    """Let what this thread does next take as long as it needs."""
    _used.ends = math.inf


def left() -> float:
    """Return the seconds that are left to the request; without one there is no limit."""
    return _used.ends - monotonic()


def duration() -> float:
    """Return the milliseconds since the request began."""
    return (monotonic() - _used.began) * 1000


def statements() -> int:
    """Return how many statements went to PostgreSQL; BEGIN, COMMIT and ROLLBACK are not counted."""
    return _used.statements


def count() -> None:
    _used.statements += 1


def init_app(app: Flask, seconds: float) -> None:
    """Give each request so much time. What is torn down before this one is part of it."""
    app.before_request(partial(begin, seconds))
    app.teardown_appcontext(end)
