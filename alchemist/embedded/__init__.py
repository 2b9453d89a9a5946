"""The PostgreSQL of `alchemist dev` and of the tests, a child process that ends with its parent."""

from .data_directory import DataDirectoryInUse, EmbeddedPostgresError
from .postgres import EmbeddedPostgres, becomes_ready, socket_url

__all__ = [
    "DataDirectoryInUse",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "becomes_ready",
    "socket_url",
]
