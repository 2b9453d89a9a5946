"""The gunicorn worker: it buffers requests and responses, and rejects excess load."""

from .worker import BufferingWorker

__all__ = ["BufferingWorker"]
