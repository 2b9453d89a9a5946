"""Signals that end a command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATION = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def termination_like_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP in the block, so that it cleans up."""
    # `nohup` ignores SIGHUP; keep it ignored.
    handled = [each for each in TERMINATION if signal.getsignal(each) == signal.SIG_DFL]
    for signum in handled:
        signal.signal(signum, signal.default_int_handler)
    try:
        yield
    finally:
        for signum in handled:
            signal.signal(signum, signal.SIG_DFL)
