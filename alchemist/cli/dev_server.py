"""gunicorn as a child process of `alchemist dev`."""

import http.client
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from subprocess import Popen, TimeoutExpired
from time import monotonic, sleep
from typing import Any

from alchemist import database as db
from alchemist.config.checks import TCP_BIND
from alchemist.embedded import spawn

# Seconds: a killed server may need a moment to release the port, and gunicorn's workers have 10 s
# (graceful_timeout) to finish their requests.
PORT_TIMEOUT, START_TIMEOUT, STOP_TIMEOUT = 1, 60, 12

Processes = Mapping[str, Popen[bytes]]


class DevServerError(Exception):
    """One line that says why the server does not run, and how to fix it."""


def choose_address(host: str | None, port: int | None, bind: str) -> tuple[str, int]:
    """Return the host and port of the options, or of ALCHEMIST_BIND; raise DevServerError."""
    default = TCP_BIND.fullmatch(bind)
    if default is None and None in (host, port):
        raise DevServerError(
            f"ALCHEMIST_BIND={bind}: `alchemist dev` listens on one host and port: use --host and "
            "--port."
        )
    if host is None and default:
        # Without a host gunicorn listens on all addresses.
        host = default[1].strip("[]") or "0.0.0.0"  # noqa: S104
    if port is None and default:
        port = int(default[2])
    return host or "", port or 0


def open_loopback_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a loopback address; raise DevServerError.

    gunicorn inherits it. It is opened first, so that no other process takes the port while the
    database starts.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise DevServerError(f"--host {host}: there is no such address.") from error
    if not all(ip_address(address[0]).is_loopback for *_, address in addresses):
        raise DevServerError(
            f"--host {host}: only a loopback address is allowed, such as 127.0.0.1. (Without "
            "--host, ALCHEMIST_BIND sets the address.)"
        )
    # IPv4 first: `localhost` has both, and every client tries IPv4.
    family, *_, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind_with_retries(listener, address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise DevServerError(
            f"Port {port} of {host} is not free ({error.strerror}): choose another with --port."
        ) from error
    return listener


def _bind_with_retries(listener: socket.socket, address: Any) -> None:
    deadline = monotonic() + PORT_TIMEOUT
    while True:
        try:
            return listener.bind(address)
        except OSError:
            if monotonic() > deadline:
                raise
        sleep(0.05)


def format_address(host: str, listener: socket.socket) -> str:
    """Return `host:port` in the syntax of URLs and of ALCHEMIST_BIND."""
    port = listener.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def running_gunicorn(
    listener: socket.socket, variables: Mapping[str, str], *, reload: bool
) -> Iterator[Popen[bytes]]:
    """Serve the connections of a listener; at the end, finish requests and stop.

    `variables` are added to the environment. With `reload` workers restart when the code changes.
    """
    options = [
        f"--bind=fd://{listener.fileno()}",
        "--worker-class=alchemist.cli.parent_bound_worker.ParentBoundWorker",
        *(["--reload"] if reload else []),
    ]
    process = spawn.spawn(
        [sys.executable, "-m", "gunicorn", "wsgi:app", *options],
        signal.SIGKILL,
        # The directory of wsgi.py and gunicorn.conf.py. A `.env` there does not apply.
        cwd=db.PROJECT_ROOT,
        env={**os.environ, **variables, "PYTHON_DOTENV_DISABLED": "1"},
        pass_fds=[listener.fileno()],
    )
    listener.close()
    try:
        yield process
    finally:
        process.terminate()
        with suppress(TimeoutExpired):
            process.wait(STOP_TIMEOUT)
        process.kill()
        process.wait()


def wait_until_live(host: str, port: int, processes: Processes) -> None:
    """Return when /livez answers 200; raise DevServerError after START_TIMEOUT."""
    deadline = monotonic() + START_TIMEOUT
    while not _is_live(host, port):
        check_processes_run(processes)
        if monotonic() > deadline:
            raise DevServerError(f"The server did not respond within {START_TIMEOUT} seconds.")
        sleep(0.02)


def _is_live(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def check_processes_run(processes: Processes) -> None:
    """Raise DevServerError if a process has ended."""
    for name, process in processes.items():
        if (code := process.poll()) is not None:
            raise DevServerError(
                f"{name} ended unexpectedly ({_exit_reason(code)}): everything was stopped."
            )


def _exit_reason(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"
