"""A walk through 100,000 potions while others write; `pytest tests/rest/slow_walk.py` takes it.

Not collected by default: it takes a minute, and its clock wants a machine that is not busy.
"""

import json
import re
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from statistics import median
from threading import Event, Thread
from time import perf_counter

import pytest
from sqlalchemy import NullPool, create_engine, text

from tests.servers import TIMEOUT

ROWS = 100_000
SAMPLES = 300
FILL = f"""
    INSERT INTO ingredients (pk, name)
    SELECT md5('i' || n)::uuid, 'ingredient ' || n FROM generate_series(0, 999) n;
    INSERT INTO potions (pk, name, name_sort)
    SELECT md5('p' || n)::uuid, name, name
    FROM generate_series(1, {ROWS}) n, to_char(n, 'FM000000') name;
    INSERT INTO potion_ingredients (potion_id, position, ingredient_id)
    SELECT md5('p' || n)::uuid, line, md5('i' || (n * 7 + line) % 1000)::uuid
    FROM generate_series(1, {ROWS}) n, generate_series(0, 4) line;
"""
URL = "/api/v2/potions"
START = f"{URL}?sort=name&limit=200"
NEXT = re.compile(r'<([^>]*)>; rel="next"')


class Caller:
    """One kept-alive connection, as a client has it."""

    def __init__(self, port):
        self.connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def __call__(self, method, path, body=None, **headers):
        content = None if body is None else json.dumps(body)
        self.connection.request(
            method, path, content, {"Content-Type": "application/json"} | headers
        )
        answer = self.connection.getresponse()
        read = answer.read()
        assert answer.status < 300, (answer.status, read)
        return answer.headers, read

    def close(self):
        self.connection.close()

    def time(self, path):
        begun = perf_counter()
        self("GET", path)
        return perf_counter() - begun


@pytest.fixture
def filled(gunicorn, fresh_database):
    engine = create_engine(fresh_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(FILL))
        connection.execute(text("VACUUM ANALYZE"))
        [ingredient] = connection.execute(text("SELECT pk FROM ingredients LIMIT 1")).scalars()
    return gunicorn.port, str(ingredient)


def write(port, ingredient, done, written):
    """Let potions come between the others and go again, and change what does not move."""
    with closing(Caller(port)) as call:
        for number in count():
            if done.is_set():
                return
            name = f"{number * 37 % ROWS:06} visitor"
            headers, _ = call("POST", URL, {"name": name, "ingredients": [ingredient]})
            if number % 2:
                call("DELETE", headers["Location"], **{"If-Match": headers["ETag"]})
            written.append(name)


def walk(port):
    """Return the names that a walk meets, and the addresses of its pages."""
    met, urls = [], [START]
    with closing(Caller(port)) as call:
        while True:
            headers, body = call("GET", urls[-1])
            met += [row["name"] for row in json.loads(body)]
            found = NEXT.search(headers["Link"])
            if found is None:
                return met, urls
            urls.append(found[1])


def test_a_walk_meets_each_of_100_000_potions_once_while_others_write(filled):
    port, ingredient = filled
    done, written = Event(), []
    writer = Thread(target=write, args=(port, ingredient, done, written))
    writer.start()
    try:
        met, _ = walk(port)
    finally:
        done.set()
        writer.join(TIMEOUT)
    assert len(written) > 100
    assert len(met) == len(set(met))
    stable = [name for name in met if not name.endswith("visitor")]
    assert stable == [f"{number:06}" for number in range(1, ROWS + 1)]


def test_the_last_page_takes_as_long_as_the_first(filled):
    port, _ = filled
    _, urls = walk(port)
    first, last = [], []
    with closing(Caller(port)) as call:
        for _ in range(SAMPLES):
            first.append(call.time(urls[0]))
            last.append(call.time(urls[-1]))
    ratio = median(last) / median(first)
    print(f"first {median(first) * 1e3:.2f} ms, last {median(last) * 1e3:.2f} ms, {ratio:.3f}")
    assert 0.8 < ratio < 1.2
