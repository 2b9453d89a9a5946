"""The start of the service: it imports its code once, before the fork, and no more than it uses."""

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
from tests.servers import TIMEOUT, Gunicorn


@pytest.fixture
def code_copy(tmp_path):
    """A copy of the code that a test can change."""
    code = tmp_path / "code"
    copytree(PROJECT_ROOT / "alchemist", code / "alchemist", ignore=ignore_patterns("__pycache__"))
    for name in ("wsgi.py", "gunicorn.conf.py"):
        copy(PROJECT_ROOT / name, code)
    return code


def test_a_worker_shares_most_of_its_memory(gunicorn):
    workers = bursts.workers(gunicorn.process.pid)
    assert workers
    for usage in map(memory.memory, workers):
        assert usage.private < usage.resident / 2


def test_the_app_imports_alembic_only_when_it_needs_the_revision():
    code = "import sys, alchemist.app; print([n for n in sys.modules if n.startswith('alembic')])"
    environment = processes.environment()
    assert subprocess.check_output([sys.executable, "-c", code], env=environment) == b"[]\n"


def test_with_reload_a_new_worker_runs_the_changed_code(fresh_database, code_copy, tmp_path):
    options = {"GUNICORN_CMD_ARGS": "--reload", "ALCHEMIST_WORKERS": "1"}
    server = Gunicorn(fresh_database, tmp_path, **options)
    server.directory = code_copy
    with server:
        file = code_copy / "alchemist" / "api" / "health.py"
        file.write_text(file.read_text().replace('status="ok"', 'status="changed"'))
        # gunicorn checks for changes once a second, and misses those before its first check.
        server.process.send_signal(signal.SIGHUP)
        deadline = monotonic() + TIMEOUT
        while not _livez_contains(server, b'"changed"'):
            assert monotonic() < deadline
            sleep(0.05)


def _livez_contains(server, text):
    with suppress(OSError):
        return text in server.request("GET", "/livez").body
    return False
