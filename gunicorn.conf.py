"""How gunicorn serves: as `Settings` says, with threads, and problems for its own errors."""

import json
import sys
from socket import socket
from typing import Any
from uuid import uuid4

import gunicorn.util
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger

from alchemist import errors, logs, problems
from alchemist.config import Misconfigured, check_open_access, load
from alchemist.security import HEADERS
from alchemist.users import auth  # noqa: F401  before the fork: workers share a page of it

try:
    _settings = load()
except Misconfigured as mistakes:
    sys.exit(str(mistakes))

bind = _settings.bind
workers = _settings.workers
threads = _settings.threads
worker_class = "gthread"
loglevel = _settings.log_level
graceful_timeout = 10  # seconds
keepalive = 5  # seconds
control_socket_disable = True
# No proxy says where the app is mounted: one that handed on such a header would let clients say it.
forwarder_headers = ""
# A filter may list 100 keys of 36 characters, and there may be two of them.
limit_request_line = 8190


class Log(Logger):  # type: ignore[misc]
    """Writes lines of JSON, without the query or the header that gunicorn could not read."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        logs.install(self.error_log.handlers, cfg.loglevel)

    def warning(self, msg: str, *args: Any, **how: Any) -> None:
        # `_write_problem` tells of it.
        if not msg.startswith("Invalid request from "):
            super().warning(msg, *args, **how)

    def exception(self, msg: str, *args: Any, **how: Any) -> None:
        super().exception(msg, *(str(arg).partition("?")[0] for arg in args), **how)


logger_class = Log


def on_starting(server: Arbiter) -> None:
    """Refuse open access on addresses that others reach, those of `--bind` included."""
    if _settings.open_access:
        try:
            for bind in server.cfg.bind:
                check_open_access(bind)
        except Misconfigured as mistakes:
            sys.exit(str(mistakes))


def _write_problem(sock: socket, status_int: int, reason: str, mesg: str) -> None:
    """Answer a request that never becomes one for the app; gunicorn itself would answer HTML."""
    problem = problems.PROBLEMS[errors.code_of(status_int)]
    request_id = uuid4().hex
    body = json.dumps(problems.body(problem, mesg or problem.example, request_id)).encode()
    head = (
        f"HTTP/1.1 {problem.status} {problem.title}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Request-ID: {request_id}\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        + "\r\n"
    )
    logs.tell(problem.status, request_id=request_id, code=problem.code)
    gunicorn.util.write_nonblock(sock, head.encode("ascii") + body)


gunicorn.util.write_error = _write_problem
