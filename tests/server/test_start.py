"""How the service starts: its code is imported once, before the fork, and only what serves."""

import signal
import subprocess
import sys
from contextlib import suppress
from shutil import copy, copytree, ignore_patterns
from time import monotonic, sleep

import pytest

from alchemist.database import PROJECT_ROOT
from tests import processes
from tests.faults import bursts, memory
from tests.servers import PATIENCE, Gunicorn


@pytest.fixture
def copied(tmp_path):
    """A copy of the code that a test may change."""
    code = tmp_path / "code"
    copytree(PROJECT_ROOT / "alchemist", code / "alchemist", ignore=ignore_patterns("__pycache__"))
    for name in ("wsgi.py", "gunicorn.conf.py"):
        copy(PROJECT_ROOT / name, code)
    return code


def test_a_worker_shares_most_of_its_memory(gunicorn):
    workers = bursts.workers(gunicorn.process.pid)
    assert workers
    for found in map(memory.memory, workers):
        assert found.private < found.resident / 2


def test_the_app_does_without_alembic_until_somebody_asks_for_the_migration():
    told = "import sys, alchemist.app; print([n for n in sys.modules if n.startswith('alembic')])"
    environment = processes.environment()
    assert subprocess.check_output([sys.executable, "-c", told], env=environment) == b"[]\n"


def test_with_reload_a_new_worker_has_new_code(fresh_database, copied, tmp_path):
    options = {"GUNICORN_CMD_ARGS": "--reload", "ALCHEMIST_WORKERS": "1"}
    server = Gunicorn(fresh_database, tmp_path, **options)
    server.code = copied
    with server:
        file = copied / "alchemist" / "api" / "health.py"
        file.write_text(file.read_text().replace('status="ok"', 'status="changed"'))
        # gunicorn looks for changes once a second, and not for those before its first look.
        server.process.send_signal(signal.SIGHUP)
        deadline = monotonic() + PATIENCE
        while not _answers(server, b'"changed"'):
            assert monotonic() < deadline
            sleep(0.05)


def _answers(server, wanted):
    with suppress(OSError):
        return wanted in server.request("GET", "/livez").body
    return False
