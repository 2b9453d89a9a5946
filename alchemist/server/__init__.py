"""The gunicorn worker: it buffers requests and responses, and rejects excess load."""

from .connection import KeepAliveResponse
from .worker import BufferingWorker

__all__ = ["BufferingWorker", "KeepAliveResponse"]
