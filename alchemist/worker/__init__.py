"""How gunicorn gives threads to requests: none to a client that is slow, or one too many."""

from .threads import Worker

__all__ = ["Worker"]
