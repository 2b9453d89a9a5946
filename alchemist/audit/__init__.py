"""Who changed what: a log that is written in the transaction of the change."""

from .recorder import listen

__all__ = ["listen"]
