"""Shows the progress of a command, if standard error is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar of this length; yield a function that advances it."""
    with click.progressbar(length=total, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield bar.update
