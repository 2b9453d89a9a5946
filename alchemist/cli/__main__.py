"""`python -m alchemist.cli`, where the command is not installed."""

from . import main

main(prog_name="alchemist")
