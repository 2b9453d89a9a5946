"""Measure `alchemist import` against COPY, and the memory of `alchemist export` at two sizes.

Imports products into a private PostgreSQL, copies the same rows into the empty table, and prints
the ratio of the rates; fails below a tenth. Then exports a tenth of the rows of a larger table and
all of them, and fails if the larger export needs more memory.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from alembic import command
from sqlalchemy import URL, make_url

from alchemist import database as db
from alchemist import embedded
from tests.benchmarks import databases

LEAST_RATIO, MOST_MEMORY = 0.1, 1.2
STORE = "01935f2e-7c1a-7b3e-9d3c-0123456789ab"
INSERT_STORE = f"""
    INSERT INTO stores
        (pk, name, name_sort, search_words, street, zipcode, city, country, currency)
    VALUES ('{STORE}', 'store', 'store', '', 'street', '1000', 'city', 'country', 'EUR')
"""
FILL = f"""
    INSERT INTO products (pk, store_id, currency, name, name_sort, search_words, price)
    SELECT gen_random_uuid(), '{STORE}', 'EUR', n::text, n::text, '', 1
    FROM generate_series(%s::int, %s::int) n
"""
COLUMNS = (
    "pk, store_id, currency, name, name_sort, description, search_words, price, stock, created_at, "
    "updated_at, version"
)


@contextmanager
def migrated() -> Iterator[tuple[URL, Path]]:
    """Yield a database with one store, and a directory for files."""
    with (
        TemporaryDirectory(prefix="alchemist-benchmark-") as name,
        embedded.EmbeddedPostgres(Path(name) / "postgresql", durable=True) as server,
    ):
        url = databases.create(make_url(server.url), "bench_files")
        command.upgrade(db.alembic_config(url), "head")
        with databases.connect(url) as connection:
            connection.execute(INSERT_STORE)
        yield url, Path(name)


def run(url: URL, *arguments: str) -> tuple[float, float]:
    """Run the command; return its seconds, and the MiB that it needed at most."""
    environment = os.environ | {"DATABASE_URL": url.render_as_string(hide_password=False)}
    start = monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "alchemist.cli", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"The run is void: alchemist {arguments[0]} failed.")
    return monotonic() - start, usage.ru_maxrss / 1024


def write_products(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("store_id,name,description,price,stock\n")
        for number in range(rows):
            file.write(f"{STORE},Product {number},It has the number {number}.,{number}.99,7\n")


def copy_seconds(url: URL) -> float:
    """Return the seconds that COPY takes for the rows that are stored, into the empty table."""
    with databases.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY products ({COLUMNS}) TO STDOUT") as copy:
            content = b"".join(bytes(block) for block in copy)
        cursor.execute("TRUNCATE products CASCADE")
        start = monotonic()
        with cursor.copy(f"COPY products ({COLUMNS}) FROM STDIN") as copy:
            copy.write(content)
        return monotonic() - start


def measure_import(url: URL, directory: Path, rows: int) -> float:
    """Return the rate of the import as a fraction of that of COPY."""
    file = directory / "products.csv"
    write_products(file, rows)
    seconds, memory = run(url, "import", "products", str(file), "--yes")
    copied = copy_seconds(url)
    ratio = copied / seconds
    print(f"import of {rows:,} products: {rows / seconds:,.0f} rows/s, {memory:,.0f} MiB")
    print(f"COPY of the same rows: {rows / copied:,.0f} rows/s; the import is {ratio:.2f} of it")
    return ratio


def measure_export(url: URL, rows: int) -> float:
    """Return the memory for all rows, divided by that for a tenth of them."""
    memories = []
    with databases.connect(url) as connection:
        connection.execute("TRUNCATE products CASCADE")
        for first, last in ((1, rows // 10), (rows // 10 + 1, rows)):
            connection.execute(FILL, (first, last))
            connection.execute("VACUUM ANALYZE products")
            seconds, memory = run(url, "export", "products", "--output", os.devnull)
            print(f"export of {last:,} products: {last / seconds:,.0f} rows/s, {memory:,.0f} MiB")
            memories.append(memory)
    return memories[1] / memories[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--imported", type=int, default=100_000, help="[default: 100000]")
    parser.add_argument("--exported", type=int, default=1_000_000, help="[default: 1000000]")
    given = parser.parse_args()
    with migrated() as (url, directory):
        ratio = measure_import(url, directory, given.imported)
        growth = measure_export(url, given.exported)
    return int(ratio < LEAST_RATIO or growth > MOST_MEMORY)


if __name__ == "__main__":
    sys.exit(main())
