"""Three nodes are upgraded under load, with a migration: no request fails.

The new release is this code with one more migration. First it migrates; then each node is drained
in HAProxy, stopped, and started with the new code. With `--incompatible` the migration does not
declare that it is backward compatible: then requests fail, as all old nodes are unready at once.
"""

import json
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic, sleep

import alembic.command
from sqlalchemy import URL

from alchemist import database as db
from alchemist import embedded
from tests import processes
from tests.factories import bearer
from tests.faults.service import check, report
from tests.haproxy import HAProxy, serving_haproxy
from tests.servers import TIMEOUT, ProductionGunicorn

NODES, CLIENTS = 3, 6
# Seconds: between two steps, and until a drained node has answered all requests.
PAUSE, DRAIN = 1.5, 1.5
RELEASE = ("alchemist", "migrations", "alembic.ini", "gunicorn.conf.py", "wsgi.py")
CREATE_TOKEN = ("token", "create", "--email", "ada@alchemist.example", "--role", "admin")
NEW_REVISION = "9001"
MIGRATION = """\"\"\"columns and an index that the old code does not know\"\"\"

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down_revision!r}
is_backward_compatible = {is_compatible}


def upgrade():
    op.add_column("ingredients", sa.Column("note", sa.Text()))
    op.add_column("orders", sa.Column("note", sa.Text()))
    with op.get_context().autocommit_block():
        op.create_index(
            "ingredients_note_idx",
            "ingredients",
            ["note"],
            if_not_exists=True,
            postgresql_concurrently=True,
        )


def downgrade():
    op.drop_column("ingredients", "note")
    op.drop_column("orders", "note")
"""


def make_release(directory: Path, *, is_compatible: bool) -> None:
    """Write the new release into a directory."""
    for name in RELEASE:
        source = db.PROJECT_ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, directory / name)
    text = MIGRATION.format(
        revision=NEW_REVISION, down_revision=db.latest_revision(), is_compatible=is_compatible
    )
    (directory / f"migrations/versions/{NEW_REVISION}_note.py").write_text(text)


class Client(Thread):
    """Creates and reads rows on one connection, and counts the responses by status."""

    def __init__(self, port: int, secret: str, stopped: Event) -> None:
        super().__init__(daemon=True)
        self.headers = bearer(secret, **{"Content-Type": "application/json"})
        self.stopped, self.counts = stopped, Counter[str]()
        self.connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def run(self) -> None:
        body = json.dumps({"name": "Mandrake root"})
        while not self.stopped.is_set():
            self._exchange("POST", "/api/v2/ingredients", body)
            for path in ("ingredients?limit=5&sort=-created_at", "potions", "products?q=tea"):
                self._exchange("GET", f"/api/v2/{path}")

    def _exchange(self, method: str, path: str, body: str | None = None) -> None:
        try:
            self.connection.request(method, path, body, self.headers)
            response = self.connection.getresponse()
            response.read()
            self.counts[f"{method} {response.status}"] += 1
        except (OSError, HTTPException) as error:
            self.connection.close()
            self.counts[f"{method} {type(error).__name__}"] += 1


class Deployment:
    """The nodes behind HAProxy, and the database."""

    def __init__(self, stack: ExitStack, url: URL, directory: Path) -> None:
        self.stack, self.url, self.directory = stack, url, directory
        [self.secret] = re.findall(r"alc_\S+", self._run_command(db.PROJECT_ROOT, *CREATE_TOKEN))
        self.nodes = [self._make_node(number, db.PROJECT_ROOT) for number in range(NODES)]
        for node in self.nodes:
            node.__enter__()
        ports = [node.port for node in self.nodes]
        self.haproxy: HAProxy = stack.enter_context(serving_haproxy(directory, ports))
        stack.callback(lambda: [node.__exit__() for node in self.nodes])

    def _make_node(self, number: int, release: Path) -> ProductionGunicorn:
        logs = self.directory / f"node{number}-{release.name}"
        logs.mkdir()
        # HAProxy forwards requests, which open access rejects.
        settings = {"ALCHEMIST_WORKERS": "1", "ALCHEMIST_OPEN_ACCESS": "false"}
        node = ProductionGunicorn(self.url, logs, PYTHONPATH=str(release), **settings)
        node.directory = release
        return node

    def migrate(self, release: Path) -> None:
        self._run_command(release, "migrate")

    def _run_command(self, release: Path, *arguments: str) -> str:
        environment = processes.environment() | {
            "DATABASE_URL": self.url.render_as_string(hide_password=False),
            "PYTHONPATH": str(release),
        }
        command = [sys.executable, "-m", "alchemist.cli", *arguments]
        options = {"cwd": release, "env": environment, "timeout": TIMEOUT, "text": True}
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout

    def replace_node(self, number: int, release: Path) -> None:
        """Drain the node, stop it, and start the release in its place."""
        server = f"nodes/node{number + 1}"
        self.haproxy.administer(f"set server {server} state drain")
        sleep(DRAIN)
        self.nodes[number].__exit__()
        node = self._make_node(number, release)
        node.port = self.nodes[number].port
        node.environment["ALCHEMIST_BIND"] = f"127.0.0.1:{node.port}"
        self.nodes[number] = node.__enter__()
        self.haproxy.administer(f"set server {server} state ready")
        self.wait_until_ready(number)

    def wait_until_ready(self, number: int) -> None:
        deadline = monotonic() + TIMEOUT
        while self.nodes[number].request("GET", "/readyz").status != 200:
            assert monotonic() < deadline
            sleep(0.1)
        # HAProxy asks once a second.
        sleep(PAUSE)

    def revisions(self) -> set[str]:
        """Return what the nodes report as the migration of the database, if they are ready."""
        answers = [node.request("GET", "/readyz") for node in self.nodes]
        return {json.loads(a.body).get("migration", f"{a.status}") for a in answers}


def upgrade_under_load(deployment: Deployment, release: Path) -> Counter[str]:
    """Return how many requests had each outcome."""
    stopped = Event()
    clients = [Client(deployment.haproxy.port, deployment.secret, stopped) for _ in range(CLIENTS)]
    sleep(PAUSE)
    for client in clients:
        client.start()
    sleep(PAUSE)
    deployment.migrate(release)
    sleep(2 * PAUSE)
    print(f"Old nodes after the migration: {deployment.revisions()}", flush=True)
    for number in range(NODES):
        deployment.replace_node(number, release)
    stopped.set()
    for client in clients:
        client.join(TIMEOUT)
    return sum((client.counts for client in clients), Counter[str]())


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--incompatible", action="store_true")
    is_compatible = not parser.parse_args().incompatible
    violations: list[str] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="alchemist-faults-")))
        data = directory / "data"
        server = stack.enter_context(embedded.EmbeddedPostgres(data, durable=False))
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        release = directory / "release"
        release.mkdir()
        make_release(release, is_compatible=is_compatible)
        deployment = Deployment(stack, server.url, directory)
        counts = upgrade_under_load(deployment, release)
        for outcome, count in sorted(counts.items()):
            print(f"  {outcome}: {count}")
        failed = sum(counts.values()) - counts["GET 200"] - counts["POST 201"]
        check(violations, f"{failed} of {sum(counts.values())} requests failed", failed == 0)
        check(
            violations,
            f"migrations: {deployment.revisions()}",
            deployment.revisions() == {NEW_REVISION},
        )
    report(violations)


if __name__ == "__main__":
    main()
