"""`alchemist import`: create or update rows from a file, all of them or none."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from alchemist import database as db
from alchemist.api.batch_entries import BatchOperation
from alchemist.api.batch_resource import MAX_ENTRIES
from alchemist.api.batches import store_entries
from alchemist.api.text_entries import TextEntry, add_lines_to_errors, read_csv, read_ndjson
from alchemist.errors import (
    ApiError,
    BadRequest,
    Conflict,
    ErrorDetail,
    Forbidden,
    UnprocessableContent,
)

from . import errors
from .operations import BATCHES
from .operator_session import operator_request, operator_session
from .output import echo
from .progress import progress
from .target_database import data_option, running_database

MAX_ERRORS = 100
# Entries of chunks that conflict, which are kept in memory until the end.
MAX_POSTPONED = 10_000
READERS = {"csv": read_csv, "ndjson": read_ndjson}
NDJSON_SUFFIXES = (".ndjson", ".jsonl", ".json")


@dataclass
class Import:
    """What is imported into an operation, and what has come of it so far."""

    operation: BatchOperation
    created_count: int = 0
    existing_count: int = 0
    error_count: int = 0
    errors: list[ErrorDetail] = field(default_factory=list)
    # The hashes of the keys of the rows.
    seen: set[int] = field(default_factory=set)

    def add_errors(self, error: ApiError) -> None:
        details = error.errors or [{"detail": error.detail}]
        self.error_count += len(details) + error.extensions.get("unlisted_errors", 0)
        self.errors += details[: MAX_ERRORS - len(self.errors)]


@click.command("import")
@click.argument("resource", type=click.Choice(list(BATCHES)))
@click.argument(
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(READERS)),
    help="[default: ndjson if the file is called *.ndjson, *.jsonl or *.json, else csv]",
)
@click.option(
    "--on-conflict",
    type=click.Choice(["update"]),
    help="Update the rows that have the `pk` or the `reference` of an entry.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, and store nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before writing to another database.")
@data_option
def import_rows(
    resource: str,
    file: Path,
    format_name: str | None,
    on_conflict: str | None,
    dry_run: bool,
    yes: bool,
    data: Path | None,
) -> None:
    """Create rows from a file, or `-`, in a format of `alchemist export`.

    All rows are stored in one transaction. If anything is wrong, nothing is stored, and the first
    100 errors are printed with their lines. With `--on-conflict update`, an exported file can be
    changed and imported again; rows that are equal stay as they are. It asks first, unless the
    database is the embedded PostgreSQL. The service may be running: updated rows are locked until
    the end.

    An export can also be imported into an empty database. New rows keep their keys, their times of
    creation and suspensions. Rows refer to each other: import users, ingredients, potions, heroes,
    stores, products and coupons in this order.

    \b
    Example:
        alchemist import products products.csv --on-conflict update --dry-run
    """
    format_name = format_name or ("csv" if file.suffix not in NDJSON_SUFFIXES else "ndjson")
    read = READERS[format_name]
    with errors.report_expected_errors(), running_database(data) as database:
        echo(f"Importing {file} into {database.location}.")
        yes = yes or dry_run or database.is_embedded
        yes or click.confirm("Continue? (--yes skips this question.)", abort=True)
        with (
            click.open_file(str(file), "rb") as lines,
            progress(0 if str(file) == "-" else file.stat().st_size) as advance,
            operator_request(database.settings),
            operator_session(database.url),
        ):
            operation = (
                BATCHES[resource] if on_conflict else replace(BATCHES[resource], update=None)
            )
            run = Import(replace(operation, restores=True, omits_nulls=format_name == "csv"))
            _store_chunks(
                run, _read_chunks(run, read(lines, run.operation.schemas), lines, advance)
            )
            if run.errors or dry_run:
                db.session.rollback()
        if run.errors:
            raise click.ClickException(_describe_errors(run))
    result = "Nothing was stored. It would be" if dry_run else "Stored"
    echo(f"{result} {run.created_count} new rows, and {run.existing_count} that existed.")


def _read_chunks(
    run: Import, entries: Iterator[TextEntry], file: IO[bytes], advance: Callable[[int], None]
) -> Iterator[list[TextEntry]]:
    """Yield the entries in chunks, until the end of the file or the first error of syntax."""
    position = 0
    try:
        while chunk := list(islice(entries, MAX_ENTRIES)):
            yield chunk
            if file.seekable():
                advance(file.tell() - position)
                position = file.tell()
    except (BadRequest, UnprocessableContent) as error:
        run.add_errors(error)


def _store_chunks(run: Import, chunks: Iterator[list[TextEntry]]) -> None:
    """Store the entries; those of chunks that conflict at the end, as one set.

    Another chunk may give up the values that a chunk needs.
    """
    postponed: list[TextEntry] = []
    for chunk in chunks:
        is_postponable = run.operation.update and len(postponed) < MAX_POSTPONED
        try:
            _store(run, chunk)
        except Conflict as error:
            if is_postponable:
                postponed += chunk
            else:
                run.add_errors(error)
    if postponed:
        try:
            _store(run, postponed)
        except Conflict as error:
            run.add_errors(error)


def _store(run: Import, entries: list[TextEntry]) -> None:
    """Store entries, or add their errors, so that all entries are checked; raise Conflict."""
    try:
        with db.session.begin_nested(), add_lines_to_errors(entries):
            stored = store_entries(run.operation, [entry.body for entry in entries])
    except (Forbidden, UnprocessableContent) as error:
        run.add_errors(error)
    else:
        run.created_count += stored.created_count
        run.existing_count += len(entries) - stored.created_count
        _add_errors_of_repeated_rows(run, entries, stored.rows)
    finally:
        db.session.expunge_all()


def _add_errors_of_repeated_rows(run: Import, chunk: list[TextEntry], rows: list[Any]) -> None:
    """Add an error for each entry whose row an entry of an earlier chunk has, too."""
    for entry, row in zip(chunk, rows, strict=True):
        key = hash(row.pk)
        if key in run.seen:
            detail = {"line": entry.line, "detail": "An earlier entry is for the same row."}
            run.add_errors(UnprocessableContent("", [detail | {"code": "duplicate"}]))
        run.seen.add(key)


def _describe_errors(run: Import) -> str:
    lines = [f"Nothing was stored: {run.error_count} errors.", *map(_describe_error, run.errors)]
    unlisted = run.error_count - len(run.errors)
    return "\n".join(lines + ([f"… and {unlisted} more."] if unlisted else []))


def _describe_error(detail: ErrorDetail) -> str:
    """Return one error, with its line, its column and its place in the entry."""
    place = [f"{name} {detail[name]}" for name in ("line", "column") if name in detail]
    member = detail.get("pointer", "").partition("/")[2].partition("/")[2]
    location = ", ".join([*place, member] if member else place)
    return f"{location}: {detail['detail']}" if location else detail["detail"]
