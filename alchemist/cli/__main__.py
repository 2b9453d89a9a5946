"""Run the command as `python -m alchemist.cli`, where it is not installed."""

from . import main

main(prog_name="alchemist")
