"""Who is measured: Alchemist and its peers, what each is started with and where it answers."""

import os
import venv
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import run

from sqlalchemy import URL

from tests.benchmarks.operations import Keys

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Contestant:
    """`command` is a Python module with its arguments; `cannot` names operations it lacks."""

    name: str
    title: str
    command: str
    prefix: str = ""
    cannot: frozenset[str] = field(default=frozenset())

    def arguments(self, port: int) -> list[str]:
        return ["-m", *self.command.format(port=port).split()]


@dataclass(frozen=True)
class Home:
    """What a contestant lives in: an interpreter, a directory, an environment and rows."""

    python: Path
    directory: Path
    environment: dict[str, str]
    keys: Keys


_UVICORN = "uvicorn {app} --port {{port}} --log-level error --no-access-log"
_GUNICORN = "gunicorn {app} -b 127.0.0.1:{{port}} -k gthread -w 1 --threads 4 --no-control-socket"
_NO_POTIONS = frozenset({"create-potion"})

ALCHEMIST = Contestant(
    "alchemist",
    "Alchemist",
    f"gunicorn -c {ROOT / 'gunicorn.conf.py'} -b 127.0.0.1:{{port}} wsgi:app",
    "/api/v2",
)
# As it ships: whoever sends no token may only read.
CLOSED = replace(ALCHEMIST, name="alchemist-closed")
FASTAPI = Contestant("fastapi", "FastAPI", _UVICORN.format(app="fastapi_tuned:app"))
PEERS = {
    peer.name: peer
    for peer in (
        FASTAPI,
        Contestant("litestar", "Litestar", _UVICORN.format(app="litestar_tuned:app")),
        Contestant(
            "drf",
            "Django REST framework",
            _GUNICORN.format(app="django_peer:app"),
            cannot=_NO_POTIONS,
        ),
        Contestant(
            "ninja",
            "Django Ninja",
            _GUNICORN.format(app="django_peer:app"),
            "/ninja",
            cannot=_NO_POTIONS,
        ),
    )
}


def alchemist_environment(url: URL, *, open_access: bool) -> dict[str, str]:
    """Return what the shipped settings leave to an operator, with nothing of the caller's own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ALCHEMIST_")}
    return own | {
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "ALCHEMIST_WORKERS": "1",
        "ALCHEMIST_MAX_OPEN_ORDERS": "0",
        # The peers know no callers.
        "ALCHEMIST_OPEN_ACCESS": str(open_access),
        # Nor do they log requests.
        "ALCHEMIST_LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }


def peers_environment(url: URL) -> dict[str, str]:
    host = url.query.get("host") or url.host or ""
    password = {"PGPASSWORD": str(url.password)} if url.password else {}
    return (
        os.environ
        | password
        | {
            "SYNC_URL": _with_driver(url, "postgresql+psycopg"),
            "ASYNC_URL": _with_driver(url, "postgresql+asyncpg"),
            "PG_DB": str(url.database),
            "PG_USER": str(url.username),
            "PG_HOST": str(host),
            # Django's settings name no port; libpq takes it from here.
            "PGPORT": str(url.query.get("port") or url.port or 5432),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )


def _with_driver(url: URL, driver: str) -> str:
    return url.set(drivername=driver).render_as_string(hide_password=False)


def install(requirements: Path, directory: Path) -> Path:
    """Return the interpreter of a virtual environment that holds `requirements`.

    An environment that a finished earlier run made from the same requirements is used again.
    """
    python, stamp = directory / "bin" / "python", directory / "installed.txt"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return python
    stamp.unlink(missing_ok=True)
    venv.create(directory, clear=True, with_pip=True)
    run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    stamp.write_text(requirements.read_text())
    return python
