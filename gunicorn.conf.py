"""gunicorn's configuration: values of `Settings`, JSON logs, and problems for its own errors."""

import ctypes
import gc
import sys
from contextlib import suppress
from importlib import import_module
from threading import Thread
from typing import Any

import gunicorn.util
from flask import Flask
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import wsgi

from alchemist.api import access_log
from alchemist.api.trusted_proxies import TrustedProxies
from alchemist.config import (
    ConfigurationError,
    load,
    require_local_bind,
    require_separate_bind,
    split_addresses,
)
from alchemist.database import capacity, privileges
from alchemist.server import (
    BufferingWorker,
    Clients,
    KeepAliveResponse,
    error_responses,
    telemetry,
)
from alchemist.server.metrics import directory

try:
    _settings = load()
except ConfigurationError as error:
    sys.exit(str(error))

bind = split_addresses(_settings.bind)
workers = _settings.workers
threads = _settings.threads
worker_class = BufferingWorker
BufferingWorker.client_timeout = _settings.client_timeout
if _settings.has_rate_limits:
    BufferingWorker.clients = Clients(TrustedProxies(_settings.trusted_proxies))
error_responses.cors_origins = _settings.cors_origins
loglevel = _settings.log_level
graceful_timeout = 10  # seconds
keepalive = 5  # seconds, which responses announce
control_socket_disable = True
# No forwarded header is used, neither for TLS nor for the path prefix: a proxy could pass on what
# its client sent. `*` spares each request the comparison of its address with those of proxies.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
forwarded_allow_ips = "*"
# A query may have two filters with 100 keys of 36 characters each.
limit_request_line = 8190


# mallopt(3) of glibc. Bytes from which a freed block of memory goes back to the system at once.
M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 1024 * 1024
# New objects after which Python looks for garbage among them. A batch makes several thousand, and
# they are no garbage yet; with Python's own threshold of 700 it would be searched ten times.
GARBAGE_THRESHOLD = 10_000
# Every second search of the two younger generations looks at all objects. With Python's own 10, a
# worker keeps 200 MiB of the statements that its bounded caches have dropped.
FULL_COLLECTION_THRESHOLD = 2


class JsonLogger(Logger):  # type: ignore[misc]
    """Logs JSON or text, without query strings and without headers that gunicorn cannot parse."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        access_log.configure_logging(self.error_log.handlers, cfg.loglevel, _settings.log_format)

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        # The 4xx response is logged already.
        if not msg.startswith("Invalid request from "):
            super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().exception(msg, *(str(arg).partition("?")[0] for arg in args), **kwargs)


logger_class = JsonLogger


def on_starting(server: Arbiter) -> None:
    """Check the addresses, those of `--bind` included, and serve metrics if they are on.

    With open access other machines must not reach the service.
    """
    try:
        for bind in server.cfg.bind if _settings.open_access else ():
            require_local_bind(bind)
        if _settings.metrics_bind:
            require_separate_bind(_settings.metrics_bind, server.cfg.bind)
    except ConfigurationError as error:
        sys.exit(str(error))
    if _settings.metrics_bind:
        directory.create_and_remove_abandoned(server.cfg.worker_tmp_dir)
        endpoint = import_module("alchemist.server.metrics.endpoint")
        endpoint.start_server_thread(_settings.metrics_bind, is_upgrade=server.master_pid != 0)


def post_fork(_server: Arbiter, _worker: BufferingWorker) -> None:
    """Give memory back after a large response: otherwise each thread would keep it for good."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
    if _settings.metrics_bind:
        import_module("alchemist.server.metrics.endpoint").close_inherited_sockets()


def when_ready(server: Arbiter) -> None:
    """Import the app before the fork: workers start fast, and share its memory and `auth`'s page.

    The objects are frozen, because a garbage collection would copy their pages into each worker.
    With `--reload` each worker imports the current code itself.
    """
    if not server.cfg.reload:
        gc.disable()
        import_module("alchemist.app")
        telemetry.import_enabled_modules()
        gc.freeze()
        gc.enable()


def _check_database(is_production: bool) -> None:
    capacity.warn_if_pools_exceed_max_connections(_settings)
    if is_production:
        privileges.warn_if_audit_log_is_writable()


def post_worker_init(worker: BufferingWorker) -> None:
    """Start metrics and traces; warn once of too few connections, and of needless privileges."""
    # With `--reload`, gunicorn has an app of its own for code that cannot be imported.
    if isinstance(worker.wsgi, Flask):
        _start_telemetry(worker)
    # What the app consists of stays. Each full collection would look at all of it, for 30 ms.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, FULL_COLLECTION_THRESHOLD)
    # Last: the statements of connections that are open already would not be traced.
    if worker.age == 1:
        is_production = not (_settings.open_access or worker.is_development)
        Thread(target=_check_database, args=[is_production], daemon=True).start()


def _start_telemetry(worker: BufferingWorker) -> None:
    if _settings.metrics_bind:
        import_module("alchemist.server.metrics.requests").init_app(worker.wsgi)
        worker.publisher = import_module("alchemist.server.metrics.worker_state").Publisher(worker)
        worker.publisher.start()
    telemetry.init_app(worker.wsgi)


def worker_exit(_server: Arbiter, worker: BufferingWorker) -> None:
    """Publish the last metrics of a worker that has begun to serve."""
    if publisher := getattr(worker, "publisher", None):
        publisher.publish()


def child_exit(_server: Arbiter, worker: BufferingWorker) -> None:
    if _settings.metrics_bind:
        directory.merge_ended_worker(worker.pid)


def on_exit(_server: Arbiter) -> None:
    if _settings.metrics_bind:
        directory.remove()


gunicorn.util.write_error = error_responses.write_error
wsgi.Response = KeepAliveResponse
