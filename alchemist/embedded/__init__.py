"""The PostgreSQL of `alchemist dev` and of the tests, a child process that ends with its parent."""

from .data_directory import DataDirectoryInUse, EmbeddedPostgresError
from .postgres import EmbeddedPostgres, socket_url, wait_until_ready

__all__ = [
    "DataDirectoryInUse",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "socket_url",
    "wait_until_ready",
]
