"""The PostgreSQL of `alchemist dev` and of the tests, and what keeps it from outliving them."""

from .datadir import InUse, Unusable
from .server import Server, await_answer, url

__all__ = ["InUse", "Server", "Unusable", "await_answer", "url"]
