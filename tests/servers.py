"""A real gunicorn on a free port of the loopback address."""

import os
import signal
import socket
import sys
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

from sqlalchemy import URL

from alchemist.database import PROJECT_ROOT
from alchemist.embedded import spawn

TIMEOUT = 20  # seconds


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

    def __init__(self, database: URL, log_directory: Path, **environment: str) -> None:
        self.port = _free_port()
        self.log = log_directory / "gunicorn.log"
        self.environment = {
            **os.environ,
            "DATABASE_URL": database.render_as_string(hide_password=False),
            "ALCHEMIST_BIND": f"127.0.0.1:{self.port}",
            "ALCHEMIST_OPEN_ACCESS": "true",
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
