"""The back end of an apothecary, over HTTP."""

__version__ = "0.1.0"
