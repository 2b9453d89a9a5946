"""`alchemist recompute-derived`: correct columns that the service derives from others."""

from pathlib import Path

import click

from alchemist import database as db

from . import errors
from .output import echo
from .target_database import data_option, running_database
from .verify import derived_columns


@click.command("recompute-derived")
@data_option
def recompute_derived(data: Path | None) -> None:
    """Correct sort keys, search words and folded texts of rows that plain SQL has written.

    `alchemist verify` finds such rows: lists do not sort them correctly, and searches do not find
    them. The service may be running. All rows are corrected in one transaction; their versions and
    the audit log do not change.

    \b
    Example:
        alchemist recompute-derived
    """
    with errors.report_expected_errors(), running_database(data) as database:
        echo(f"Correcting derived columns in {database.location}.")
        # Without statement_timeout: to read a large table takes long.
        with db.create_unpooled_engine(database.url).begin() as connection:
            count = derived_columns.recompute(connection)
        echo(f"{count} rows corrected.")
