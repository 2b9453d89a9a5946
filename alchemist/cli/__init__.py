"""The `alchemist` command."""

import sys

try:
    from .commands import main
except KeyboardInterrupt:
    # Ctrl-C is the normal end of `dev`; any other command has failed.
    print("Stopped.")
    sys.exit(0 if sys.argv[1:2] == ["dev"] else 1)

__all__ = ["main"]
