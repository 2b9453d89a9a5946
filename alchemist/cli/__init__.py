"""The `alchemist` command."""

import sys

try:
    from .commands import main
except KeyboardInterrupt:
    # Nothing has begun: what `dev` was to do until Ctrl-C is done, and no other command is.
    print("Stopped.")
    sys.exit(0 if sys.argv[1:2] == ["dev"] else 1)

__all__ = ["main"]
