"""The gunicorn worker: it buffers requests and responses, and rejects excess load."""

from .clients import Clients
from .connection import KeepAliveResponse
from .worker import BufferingWorker

__all__ = ["BufferingWorker", "Clients", "KeepAliveResponse"]
