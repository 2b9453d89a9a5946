"""`alchemist export`: write all rows of a list as CSV or NDJSON."""

import os
import shutil
import sys
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import click
from sqlalchemy import URL, func, select

from alchemist import database as db
from alchemist.api.operations import Listing
from alchemist.api.pagination import TEXT_FORMATS, TextFormat, select_lines

from . import errors
from .operations import LISTS
from .operator_session import operator_request
from .progress import progress
from .target_database import data_option, running_database

CHUNK_SIZE = 500
# Read so many rows at once, with a cursor in the server.
STREAM = {"stream_results": True, "max_row_buffer": CHUNK_SIZE}
FORMATS = {each.name: each for each in TEXT_FORMATS}


@click.command()
@click.argument("resource", type=click.Choice(list(LISTS)))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    default="csv",
    show_default=True,
    help="CSV (RFC 4180), or one JSON object on each line.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default="-",
    help="Write to this file, when all rows are read. [default: standard output]",
)
@data_option
def export(resource: str, format_name: str, output: Path, data: Path | None) -> None:
    """Write all rows of a list, as the API returns them in this format.

    The rows are those of one moment, in order of creation. The service may be running. A file is
    complete, or it is not written. If standard error is a terminal, it shows the progress.

    \b
    Example:
        alchemist export products --output products.csv
    """
    with (
        errors.report_expected_errors(),
        running_database(data) as database,
        operator_request(database.settings),
        _report_file_errors(output),
        _open_output(output) as file,
        closing(_read_chunks(database.url, LISTS[resource], FORMATS[format_name])) as chunks,
    ):
        for chunk in chunks:
            file.write(chunk)
        file.flush()


def _read_chunks(
    url: URL, listing: Listing, text_format: TextFormat
) -> Generator[bytes, None, None]:
    """Yield the text of a list in chunks, from one snapshot of the database."""
    schema, query = listing.schema, listing.view({})
    statement = select_lines(query.select, schema, text_format)
    count = select(func.count()).select_from(query.select.subquery())
    engine = db.create_unpooled_engine(url, isolation_level="REPEATABLE READ")
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        total = connection.execute(count, query.parameters).scalar_one()
        yield text_format.header(schema).encode()
        with (
            connection.execute(statement, query.parameters, execution_options=STREAM) as lines,
            progress(total) as advance,
        ):
            for chunk in lines.scalars().partitions(CHUNK_SIZE):
                yield "".join(chunk).encode()
                advance(len(chunk))


def _open_output(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open a file to write; a regular file is replaced only when all is written."""
    if str(path) == "-":
        return nullcontext(sys.stdout.buffer)
    is_special = path.exists() and not path.is_file()
    return path.open("wb") if is_special else _replace_when_complete(Path(os.path.realpath(path)))


@contextmanager
def _replace_when_complete(path: Path) -> Iterator[BinaryIO]:
    """Write to another file, and rename it at the end; it has the permissions of the old one."""
    part = path.with_name(f".{uuid4().hex}.part")
    with part.open("xb") as file:
        try:
            if path.exists():
                shutil.copymode(path, part)
            yield file
            file.flush()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _report_file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
