"""How gunicorn gives threads to requests: none to a client that is slow, or one too many."""

from .worker import BufferingWorker

__all__ = ["BufferingWorker"]
