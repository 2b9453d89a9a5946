"""Fill a PostgreSQL of its own with a million rows a table, and time the pages of every list.

Each list is read in each sort, with each filter for a value that half of the rows have and for one
of few: the first page, one in the middle, the last. Prints milliseconds, and how PostgreSQL found
the rows; fails if a page is much slower than another of its list, or a whole table is read.
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
from tests.growth.measure import LIMIT, Reader, is_alike, nodes

# A page may read so many times as many blocks as another of its list, and take so many times as
# long; or it may read as few and be as quick as that.
FACTOR, FEW, QUICK = 3.0, 2000, 60.0
# What is brewable is found among all that contain one of the ingredients, which may be anything.
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
            # Do not look for each row whether those are there that it refers to.
            connection.execute(text("SET session_replication_role = replica"))
            rows.fill(connection, count)
        print(f"{count} rows a table, made in {monotonic() - started:.0f} s.", flush=True)
        yield server.url


def measure(reader: Reader, each: List, middle: int) -> Iterator[str]:
    """Yield what is not as it should be."""
    print(
        f"\n/{each.path}: first, middle and last page of {LIMIT} rows: ms, and blocks read",
        flush=True,
    )
    for queries in ([""], *each.pairs(), *([query] for query in each.together)):
        for sort in each.directed():
            paths = [f"/api/v2/{each.path}?limit={LIMIT}&sort={sort}&{query}" for query in queries]
            if not any(query.startswith(UNBOUNDED) for query in queries):
                reader.settle(*paths)
            for query, path in zip(queries, paths, strict=True):
                if not query.startswith(UNBOUNDED):
                    yield from judge(reader, each, sort, query, middle, path)


def judge(
    reader: Reader, each: List, sort: str, query: str, middle: int, path: str
) -> Iterator[str]:
    pages = reader.pages(f"/api/v2/{each.path}", sort, query, middle)
    found = nodes(reader.plan(path))
    times = " ".join(f"{time:7.1f}" for time in pages.times)
    blocks = " ".join(f"{number:5}" for number in pages.blocks)
    told = f"{times:24} {blocks:18}{pages.rows:5}  {sort:12} {query:60} {found[0]}"
    print(told, flush=True)
    is_flat = is_alike(pages.blocks, FACTOR, FEW) and is_alike(pages.times, FACTOR, QUICK)
    if not is_flat or any("Seq Scan" in node for node in found):
        yield f"/{each.path} {told}"


def show_limits(reader: Reader) -> None:
    print("\nPages of more rows, ms for 1, 50, 100, 200")
    for each in LISTS:
        path = f"/api/v2/{each.path}"
        times = [reader.time(f"{path}?limit={limit}", 15) for limit in (1, 50, 100, 200)]
        print(f"{' '.join(f'{time:7.1f}' for time in times)}  /{each.path}", flush=True)


def show_counts(reader: Reader) -> None:
    print("\nWhat grows with the rows: exact counts, and potions brewable with what half contains")
    for path in COUNTED:
        sign = "&" if "?" in path else "?"
        print(f"{reader.time(f'/api/v2/{path}{sign}count=exact', 3):9.1f} ms  /{path} counted")
    path = f"potions?{UNBOUNDED},{TWENTY}"
    print(f"{reader.time(f'/api/v2/{path}', 3):9.1f} ms  /{path}", flush=True)


def show_sellers(app: Flask) -> None:
    print("\nWhat grows with the sales: the orders of merchants")
    app.extensions["open_access"] = False
    for number, told in SELLERS.items():
        with app.app_context():
            user = db.session.get_one(User, rows.key(number))
            user.role = "merchant"
            headers = sign_in(user)
            db.session.commit()
        reader = Reader(app, headers)
        for sort in ("pk", "-placed_at"):
            path = f"/api/v2/orders?sort={sort}"
            print(f"{reader.time(path, 3):9.1f} ms  {sort:12} a merchant {told}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
