"""The PostgreSQL of `alchemist dev` and of the tests, a child process that ends with its parent."""

from .data_directory import DataDirectoryInUse, EmbeddedPostgresError
from .postgres import EmbeddedPostgres, url, wait_until_ready

__all__ = [
    "DataDirectoryInUse",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "url",
    "wait_until_ready",
]
