"""A real gunicorn on a free port of the loopback address."""

import os
import signal
import socket
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

from sqlalchemy import URL

from alchemist.config import env_name
from alchemist.database import PROJECT_ROOT
from alchemist.embedded import spawn

# Seconds. It only ends what hangs: nothing takes so long, even on a busy machine.
TIMEOUT = 60
# Seconds: so long that a busy machine fails no request. Tests of the timeouts set shorter ones.
LONG_TIMEOUTS = {
    "client_timeout": 60.0,
    "request_timeout": 60.0,
    "statement_timeout": 30.0,
    "anonymous_search_timeout": 30.0,
    "lock_timeout": 20.0,
    "pool_timeout": 5.0,
}


class Answer:
    """The status, headers and body of a response."""

    repeated = 0

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


class Gunicorn:
    """A gunicorn that runs during a `with` block; keywords are its environment."""

    application = "wsgi:app"
    directory = PROJECT_ROOT
    timeouts: Mapping[str, float] = LONG_TIMEOUTS

    def __init__(self, database: URL, log_directory: Path, **environment: str) -> None:
        self.database = database
        self.port = free_port()
        self.log = log_directory / "gunicorn.log"
        self.environment = {
            **os.environ,
            "DATABASE_URL": database.render_as_string(hide_password=False),
            "ALCHEMIST_BIND": f"127.0.0.1:{self.port}",
            "ALCHEMIST_OPEN_ACCESS": "true",
            **{env_name(name): str(seconds) for name, seconds in self.timeouts.items()},
            **environment,
        }

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = spawn.spawn(
                [sys.executable, "-m", "gunicorn", self.application],
                signal.SIGTERM,
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        deadline = monotonic() + TIMEOUT
        while not self._is_live():
            if self.process.poll() is not None or monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(self.log.read_text())
            sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIMEOUT)

    def _is_live(self) -> bool:
        try:
            return self.request("GET", "/livez").status == 200
        except OSError:
            return False

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()


class ProductionGunicorn(Gunicorn):
    """A gunicorn with the default timeouts."""

    timeouts: Mapping[str, float] = {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
