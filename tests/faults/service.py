"""The service of a fault: a real gunicorn on an embedded PostgreSQL, with some rows in it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import alembic.command
from sqlalchemy import URL, NullPool, create_engine, text

from alchemist import database as db
from alchemist import embedded
from tests.servers import Gunicorn, ProductionGunicorn

ROWS = 200


@contextmanager
def serving(
    *options: str, sockets: Sequence[str] = (), **environment: str
) -> Iterator[tuple[Gunicorn, str]]:
    """Yield the server, which also listens on `sockets`, and the path of an ingredient."""
    with (
        TemporaryDirectory(prefix="alchemist-faults-") as directory,
        embedded.EmbeddedPostgres(Path(directory) / "data", durable=False) as server,
    ):
        alembic.command.upgrade(db.alembic_config(server.url), "head")
        environment = {"ALCHEMIST_LOG_LEVEL": "warning", **environment}
        arguments = {"GUNICORN_CMD_ARGS": " ".join(options)}
        gunicorn = ProductionGunicorn(server.url, Path(directory), **environment, **arguments)
        gunicorn.environment["ALCHEMIST_BIND"] = ",".join(
            [gunicorn.environment["ALCHEMIST_BIND"], *sockets]
        )
        with gunicorn:
            yield gunicorn, _fill(server.url)


FILL = """
    INSERT INTO ingredients (pk, name, description)
    SELECT gen_random_uuid(), 'ingredient ' || n, repeat('x', 500) FROM generate_series(1, :rows) n
    RETURNING pk
"""


def _fill(url: URL) -> str:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        [pk, *_] = connection.execute(text(FILL), {"rows": ROWS}).scalars()
    return f"/api/v2/ingredients/{pk}"


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
