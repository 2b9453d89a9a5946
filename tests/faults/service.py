"""The service of a fault: a real gunicorn on an embedded PostgreSQL, with some rows in it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import alembic.command

from alchemist import database as db
from alchemist import embedded
from tests.servers import Gunicorn, ProductionGunicorn

ROWS = 200


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[tuple[Gunicorn, str]]:
    """Yield the server and the path of an ingredient."""
    with (
        TemporaryDirectory(prefix="alchemist-faults-") as directory,
        embedded.EmbeddedPostgres(Path(directory) / "data", durable=False) as server,
    ):
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        environment = {"ALCHEMIST_LOG_LEVEL": "warning", **environment}
        arguments = {"GUNICORN_CMD_ARGS": " ".join(options)}
        with ProductionGunicorn(
            server.url, Path(directory), **environment, **arguments
        ) as gunicorn:
            yield gunicorn, _fill(gunicorn)


def _fill(gunicorn: Gunicorn) -> str:
    for number in range(ROWS):
        body = json.dumps({"name": f"ingredient {number}", "description": "x" * 500})
        headers = {"Content-Type": "application/json"}
        answer = gunicorn.request("POST", "/api/v2/ingredients", body, **headers)
        assert answer.status == 201, answer.body
    return str(answer.headers["Location"])


def report(violations: list[str]) -> None:
    """Print what was violated, if anything, and end the process."""
    for violation in violations:
        print(f"VIOLATED: {violation}")
    sys.exit(1 if violations else 0)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def check(violations: list[str], told: str, is_so: Callable[[], bool] | bool) -> None:
    """Print a number, and note it if it is not as it must be."""
    print(told, flush=True)
    if not (is_so() if callable(is_so) else is_so):
        violations.append(told)
