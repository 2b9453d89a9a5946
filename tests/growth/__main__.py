"""Fill a separate PostgreSQL with a million rows a table, and time the pages of every list.

Each list is read in each sort, with a frequent and a rare value of each filter: the first page, one
in the middle, the last. Print milliseconds, and how PostgreSQL finds the rows; fail if a page is
much slower than another of its list, or if a whole table is read.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import alembic.command
from flask import Flask
from sqlalchemy import URL, NullPool, create_engine, text

from alchemist import config, embedded
from alchemist import database as db
from alchemist.app import create_app
from alchemist.domains.users.models import User
from tests.factories import sign_in
from tests.growth import rows
from tests.growth.lists import HALF, LISTS, TWENTY, List
from tests.growth.measure import LIMIT, Reader, is_similar, nodes

# The pages of a list may differ by this factor in blocks read and in time, unless all of them need
# at most so many blocks, or milliseconds.
MAX_RATIO, FEW_BLOCKS, SHORT_TIME = 3.0, 2000, 60.0
# Brewable potions are found among all that contain one of the ingredients: any number of them.
UNBOUNDED = f"brewable_with={HALF}"
COUNTED = (
    "ingredients",
    "orders?status=fulfilled",
    f"orders?user_id={TWENTY}",
    "stores?q=everywhere",
)
SELLERS = {1: "of 500,000 products", 3: "of one product", 9: "of ten products"}


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.growth", description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000, help="in each table")
    count = options.parse_args().rows
    failures: list[str] = []
    with filled(count) as url:
        settings = config.Settings(
            database_url=url, open_access=True, statement_timeout=25, request_timeout=30
        )
        reader = Reader(create_app(settings))
        for each in LISTS:
            failures += measure(reader, each, count // 2 // 2 * 2)
        show_limits(reader)
        show_counts(reader)
        show_sellers(reader.app)
    for failure in failures:
        print(f"NOT FLAT: {failure}")
    return 1 if failures else 0


@contextmanager
def filled(count: int) -> Iterator[URL]:
    with (
        TemporaryDirectory(prefix="alchemist-growth-") as directory,
        embedded.EmbeddedPostgres(Path(directory) / "data", durable=False) as server,
    ):
        started = monotonic()
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        engine = create_engine(server.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            # Do not check the foreign keys of each row.
            connection.execute(text("SET session_replication_role = replica"))
            rows.fill(connection, count)
        print(f"{count} rows a table, made in {monotonic() - started:.0f} s.", flush=True)
        yield server.url


def measure(reader: Reader, each: List, middle: int) -> Iterator[str]:
    """Yield the pages that cost much more than others of their list."""
    print(
        f"\n/{each.path}: first, middle and last page of {LIMIT} rows: ms, and blocks read",
        flush=True,
    )
    for queries in ([""], *each.pairs(), *([query] for query in each.together)):
        for sort in each.directed():
            paths = [f"/api/v2/{each.path}?limit={LIMIT}&sort={sort}&{query}" for query in queries]
            if not any(query.startswith(UNBOUNDED) for query in queries):
                reader.warm_up(*paths)
            for query, path in zip(queries, paths, strict=True):
                if not query.startswith(UNBOUNDED):
                    yield from measure_pages(reader, each, sort, query, middle, path)


def measure_pages(
    reader: Reader, each: List, sort: str, query: str, middle: int, path: str
) -> Iterator[str]:
    pages = reader.pages(f"/api/v2/{each.path}", sort, query, middle)
    plan_nodes = nodes(reader.plan(path))
    times = " ".join(f"{time:7.1f}" for time in pages.times)
    blocks = " ".join(f"{number:5}" for number in pages.blocks)
    line = f"{times:24} {blocks:18}{pages.rows:5}  {sort:12} {query:60} {plan_nodes[0]}"
    print(line, flush=True)
    is_flat = is_similar(pages.blocks, MAX_RATIO, FEW_BLOCKS) and is_similar(
        pages.times, MAX_RATIO, SHORT_TIME
    )
    if not is_flat or any("Seq Scan" in node for node in plan_nodes):
        yield f"/{each.path} {line}"


def show_limits(reader: Reader) -> None:
    print("\nPages of more rows, ms for 1, 50, 100, 200")
    for each in LISTS:
        path = f"/api/v2/{each.path}"
        times = [reader.time(f"{path}?limit={limit}", 15) for limit in (1, 50, 100, 200)]
        print(f"{' '.join(f'{time:7.1f}' for time in times)}  /{each.path}", flush=True)


def show_counts(reader: Reader) -> None:
    print("\nWhat grows with the rows: exact counts, and brewable potions")
    for path in COUNTED:
        sign = "&" if "?" in path else "?"
        print(f"{reader.time(f'/api/v2/{path}{sign}count=exact', 3):9.1f} ms  /{path} counted")
    path = f"potions?{UNBOUNDED},{TWENTY}"
    print(f"{reader.time(f'/api/v2/{path}', 3):9.1f} ms  /{path}", flush=True)


def show_sellers(app: Flask) -> None:
    print("\nWhat grows with the sales: orders of merchants")
    app.extensions["open_access"] = False
    for number, description in SELLERS.items():
        with app.app_context():
            user = db.session.get_one(User, rows.key(number))
            user.role = "merchant"
            headers = sign_in(user)
            db.session.commit()
        reader = Reader(app, headers)
        for sort in ("pk", "-placed_at"):
            path = f"/api/v2/orders?sort={sort}"
            print(f"{reader.time(path, 3):9.1f} ms  {sort:12} a merchant {description}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
