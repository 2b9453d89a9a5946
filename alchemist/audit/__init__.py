"""Who changed what: a log that is written in the transaction of the change."""

from .recorder import init_app, listen

__all__ = ["init_app", "listen"]
