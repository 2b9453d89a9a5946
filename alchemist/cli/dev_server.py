"""gunicorn as a child of `alchemist dev`, from the reserved port to the last worker."""

import http.client
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import partial
from ipaddress import ip_address
from time import monotonic, sleep
from typing import Any

from gunicorn.app import wsgiapp

import alchemist.app  # noqa: F401  imported before the fork, so that it is imported once
from alchemist import config
from alchemist import database as db
from alchemist.embedded import spawn

# Seconds: for what is left of a former run to let go of the port, for the service to come up,
# and for its workers to finish their requests (a little more than gunicorn's own patience).
PORT_TIMEOUT, START_TIMEOUT, STOP_TIMEOUT = 1, 60, 12
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FORK = multiprocessing.get_context("fork")

# Returns the exit code of a process, or None while it runs.
Poll = Callable[[], int | None]


class DevServerError(Exception):
    """One line that says why there is nothing to reach, and what to do about it."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a loopback address; raise Unservable.

    It is handed down to gunicorn, so that nobody takes the port while the database starts.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise DevServerError(f"--host {host}: there is no such address.") from error
    if not all(ip_address(address[0]).is_loopback for *_, address in found):
        raise DevServerError(
            f"--host {host}: everybody who reaches the service may do everything, "
            "so only a loopback address will do, such as 127.0.0.1."
        )
    # IPv4 first: `localhost` is both, and clients try that one in any case.
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(listener, address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise DevServerError(
            f"Port {port} of {host} is not free ({error.strerror}): choose another with --port."
        ) from error
    return listener


def _bind(listener: socket.socket, address: Any) -> None:
    deadline = monotonic() + PORT_TIMEOUT
    while True:
        try:
            listener.bind(address)
        except OSError:
            if monotonic() > deadline:
                raise
            sleep(0.05)
        else:
            return


def address(host: str, listener: socket.socket) -> str:
    """Return `host:port` as URLs and ALCHEMIST_BIND write it."""
    port = listener.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def gunicorn(
    settings: config.Settings, listener: socket.socket, disown: Callable[[], None]
) -> Iterator[Poll]:
    """Serve what listens, for the time of a `with`; what is in flight at its end is finished.

    A fork and not a fresh interpreter, which would import everything once more and double the
    time until the first answer. `disown` closes what belongs to this process alone.
    """
    arguments = (settings, listener, os.getpid(), disown)
    process = FORK.Process(target=_serve, args=arguments, daemon=True)
    # A Ctrl-C that the child gets before it has a session of its own waits until it has.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    listener.close()
    try:
        yield lambda: process.exitcode
    finally:
        process.terminate()
        process.join(STOP_TIMEOUT)
        process.kill()
        process.join()


def _serve(
    settings: config.Settings, listener: socket.socket, parent: int, disown: Callable[[], None]
) -> None:
    for request in STOP_SIGNALS:
        signal.signal(request, signal.SIG_DFL)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    # Killed with their parents, not asked: without a database nothing can be finished, and a
    # worker that waits for the rest of a request would keep the port.
    os.register_at_fork(
        after_in_child=partial(spawn.set_parent_death_signal, os.getpid(), signal.SIGKILL)
    )
    spawn.set_parent_death_signal(parent, signal.SIGKILL)
    disown()
    os.environ.update(_environment(settings))
    sys.path.insert(0, str(db.PROJECT_ROOT))
    listener.set_inheritable(True)
    options = [f"--chdir={db.PROJECT_ROOT}", f"--config={db.PROJECT_ROOT / 'gunicorn.conf.py'}"]
    sys.argv = ["gunicorn", "wsgi:app", *options, f"--bind=fd://{listener.detach()}"]
    wsgiapp.run()


def _environment(settings: config.Settings) -> dict[str, str]:
    """Return every setting, so that no `.env` of another directory has a say."""
    values = {
        config.env_name(field.name): _env_value(getattr(settings, field.name))
        for field in fields(settings)
    }
    database = settings.database_url.render_as_string(hide_password=False)
    return values | {config.env_name("database_url"): database}


def _env_value(value: object) -> str:
    # Not whatever is a tuple: a URL is one, too.
    return ",".join(value) if type(value) is tuple else str(value)


def await_ready(host: str, port: int, watched: Mapping[str, Poll]) -> None:
    """Return when /livez answers; raise Unservable if it does not, or if a process ends."""
    deadline = monotonic() + START_TIMEOUT
    while not _is_live(host, port):
        check(watched)
        if monotonic() > deadline:
            raise DevServerError(f"The service did not answer for {START_TIMEOUT} seconds.")
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


def check(watched: Mapping[str, Poll]) -> None:
    """Raise Unservable if a process has ended."""
    for name, poll in watched.items():
        if (code := poll()) is not None:
            raise DevServerError(
                f"{name} ended unexpectedly ({_exit_reason(code)}): everything was stopped."
            )


def _exit_reason(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"
