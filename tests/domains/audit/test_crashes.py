"""The feed of changes while writers and the server are killed: each committed change once."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist.embedded.postgres import EmbeddedPostgres
from tests import databases
from tests.conftest import _app_factory
from tests.domains.audit.test_changes import INSERT, PATH, Reader

pytestmark = pytest.mark.slow
# Commits up to three entries at a time, and prints the keys of each acknowledged commit.
WRITER = f"""
import random, sys, time, uuid
import psycopg
random.seed(int(sys.argv[2]))
with psycopg.connect(sys.argv[1]) as connection:
    while True:
        pks = [uuid.uuid4() for _ in range(random.randint(1, 3))]
        for pk in pks:
            connection.execute({INSERT!r}, (pk, "ingredients", pk, "create", []))
            time.sleep(random.choice((0, 0.002, 0.1)))
        connection.rollback() if random.random() < 0.2 else connection.commit() or print(*pks)
        sys.stdout.flush()
"""
WRITERS, ROUNDS = 3, 3


def start_writers(url, directory, number):
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    for seed in range(WRITERS):
        command = [sys.executable, "-c", WRITER, dsn, str(seed + WRITERS * number)]
        with (directory / f"{number}-{seed}").open("w") as output:
            yield subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)


def read_for(readers, seconds):
    """Read pages for some seconds; pass over a server that is not there."""
    end = monotonic() + seconds
    while monotonic() < end:
        for reader in readers:
            if reader.client.get(f"{PATH}?limit=1").status_code == 200:
                reader.read_page()
        sleep(0.01)


def acknowledged(directory):
    """Return the keys that the writers have printed in whole lines."""
    texts = [file.read_text() for file in directory.iterdir()]
    lines = [line for each in texts for line in each.split("\n")[:-1]]
    return {pk for line in lines for pk in line.split() if len(line) % 37 == 36}


def test_killed_writers_and_a_killed_server_lose_and_repeat_no_change(app, tmp_path):
    with TemporaryDirectory(prefix="alchemist-test-") as directory:
        server = EmbeddedPostgres(Path(directory) / "data")
        with server:
            url = databases._create_template(server.url)
            with _app_factory(url) as make:
                client = make().test_client()
                readers = [Reader(client, f"after=start&limit={limit}") for limit in (1, 10, 1000)]
                for number in range(ROUNDS):
                    writers = [*start_writers(url, tmp_path, number)]
                    read_for(readers, 1.5)
                    writers[0].kill()
                    read_for(readers, 0.5)
                    server.process.kill()
                    server.stop()
                    for writer in writers:
                        writer.kill()
                        writer.wait()
                    server.start()
                    sleep(1)
                for reader in readers:
                    reader.read_all()
            with create_engine(url, poolclass=NullPool).connect() as connection:
                stored = [str(pk) for pk in connection.scalars(text("SELECT pk FROM audit_log"))]
    assert len(acknowledged(tmp_path)) > ROUNDS * WRITERS
    assert acknowledged(tmp_path) <= set(stored)
    for reader in readers:
        assert sorted(change["pk"] for change in reader.changes) == sorted(stored)
