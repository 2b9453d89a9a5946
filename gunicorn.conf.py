"""How gunicorn serves: as `Settings` says, with threads, and problems for its own errors."""

import gc
import sys
from importlib import import_module
from typing import Any

import gunicorn.util
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger

from alchemist.api import access_log
from alchemist.config import ConfigurationError, check_open_access, load
from alchemist.server import BufferingWorker, error_responses

try:
    _settings = load()
except ConfigurationError as error:
    sys.exit(str(error))

bind = _settings.bind
workers = _settings.workers
threads = _settings.threads
worker_class = BufferingWorker
BufferingWorker.patience = _settings.client_timeout
loglevel = _settings.log_level
graceful_timeout = 10  # seconds
keepalive = 5  # seconds
control_socket_disable = True
# Nothing that a proxy says is believed, neither of TLS nor of where the app is mounted: it could be
# handing on what a client said. So there is no need to look in each request whether it is a proxy.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
forwarded_allow_ips = "*"
# A filter may list 100 keys of 36 characters, and there may be two of them.
limit_request_line = 8190


class Log(Logger):  # type: ignore[misc]
    """Writes lines of JSON, without the query or the header that gunicorn could not read."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        access_log.configure(self.error_log.handlers, cfg.loglevel)

    def warning(self, msg: str, *args: Any, **how: Any) -> None:
        # The refusal tells of it.
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
        except ConfigurationError as error:
            sys.exit(str(error))


def when_ready(server: Arbiter) -> None:
    """Import the code once: workers share its memory, a page of `auth`, and start without delay.

    Its objects are frozen, since to look at them for garbage would copy them into each worker.
    With `--reload` each worker imports what is there when it starts.
    """
    if not server.cfg.reload:
        gc.disable()
        import_module("alchemist.app")
        gc.freeze()
        gc.enable()


gunicorn.util.write_error = error_responses.write_error
