"""The HTTP server that gunicorn's master runs in a thread for Prometheus."""

import platform
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from threading import BoundedSemaphore, Thread, Timer
from time import sleep
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.metrics_core import InfoMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from alchemist import __version__
from alchemist.config import env_name, split_tcp_bind

from . import directory

# A client beyond these is disconnected at once, and one that takes longer after these seconds.
MAX_CONNECTIONS, CONNECTION_TIMEOUT = 8, 5.0
# Seconds between attempts to listen, while the gunicorn that is being replaced still does.
RETRY_INTERVAL = 1.0


class WorkersCollector:
    """Adds up the metrics of the workers."""

    def collect(self) -> Iterable[Metric]:
        with directory.lock:
            return list(MultiProcessCollector(None).collect())


class BuildCollector:
    """Reports the version of the service."""

    def collect(self) -> Iterable[Metric]:
        labels = {"version": __version__, "python_version": platform.python_version()}
        return [InfoMetricFamily("alchemist_build", "The version of the service.", labels)]


class Handler(WSGIRequestHandler):
    """Logs no requests: there would be one every few seconds."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers a few clients at once, for a few seconds each, so that none of them can block it."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self._slots = BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Listen without a look-up of the name of this host, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = map(str, self.server_address[:2])  # type: ignore[assignment]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        timer = Timer(CONNECTION_TIMEOUT, _disconnect, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._slots.release()

    def handle_error(self, *_: Any) -> None:
        """Ignore that a client has disconnected."""


def _disconnect(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


_servers: list[MetricsServer] = []


def start_server_thread(bind: str, *, is_upgrade: bool) -> None:
    """Serve the metrics in a thread; exit with a message if the address is not free.

    In an upgrade, the gunicorn that is being replaced has the address until it ends.
    """
    host, port = split_tcp_bind(bind)
    try:
        _servers.append(MetricsServer(host, port))
    except OSError as error:
        if not is_upgrade:
            sys.exit(f"{env_name('metrics_bind')}: {bind} cannot be used: {error.strerror}.")
    Thread(target=_serve, args=(host, port), daemon=True).start()


def _serve(host: str, port: int) -> None:
    while not _servers:
        sleep(RETRY_INTERVAL)
        with suppress(OSError):
            _servers.append(MetricsServer(host, port))
    registry = CollectorRegistry()
    registry.register(WorkersCollector())
    registry.register(BuildCollector())
    _servers[0].set_app(make_wsgi_app(registry))
    _servers[0].serve_forever()


def close_inherited_sockets() -> None:
    """Close a worker's copy of the socket, which would keep the address after the master."""
    for server in _servers:
        server.socket.close()
