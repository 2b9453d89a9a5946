"""Print text that cannot control the terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from alchemist.api.log_formats import escape_unprintable


def escape(text: Any) -> str:
    """Return lines whose control and format characters are escaped."""
    return "\n".join(map(escape_unprintable, str(text).split("\n")))


def echo(text: Any, *, err: bool = False) -> None:
    """Print lines whose control and format characters are escaped."""
    click.echo(escape(text), err=err)


def echo_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a header and rows in columns that are as wide as their longest cell."""
    lines = [[escape_unprintable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
