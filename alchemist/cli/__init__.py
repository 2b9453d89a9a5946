"""The `alchemist` command."""

import sys

# The imports of `dev` take a second.
if sys.argv[1:2] == ["dev"] and sys.stdout.isatty() and not {"-h", "--help"} & set(sys.argv):
    print("Loading …", flush=True)
try:
    from .commands import main
except KeyboardInterrupt:
    # Ctrl-C is the normal end of `dev`; any other command has failed.
    print("Stopped.")
    sys.exit(0 if sys.argv[1:2] == ["dev"] else 1)

__all__ = ["main"]
