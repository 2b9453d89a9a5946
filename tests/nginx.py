"""A real nginx with the configuration of the Dockerfile."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from alchemist.embedded import spawn
from tests.dockerfile import document
from tests.servers import TIMEOUT, free_port

NGINX_CONF = document("proxy", "nginx.conf")
# Connections from here have a private address for nginx, as those of a proxy in front of it.
TRUSTED_SOURCE = "127.0.0.8"


class Nginx(NamedTuple):
    """The port of nginx, and the id of its master process."""

    port: int
    pid: int


@contextmanager
def serving_nginx(nginx: str, directory: Path) -> Iterator[Nginx]:
    """Yield an nginx in front of `http.sock` in a directory, which has its files."""
    port = free_port()
    command = [nginx, "-e", "stderr", "-c", str(_write_conf(directory, port)), "-g", _globals()]
    check = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
    with (
        (directory / "nginx.log").open("wb") as log,
        spawn.spawn(command, signal.SIGTERM, stderr=log) as process,
    ):
        try:
            await_port(port)
            yield Nginx(port, process.pid)
        finally:
            process.terminate()


def _write_conf(directory: Path, port: int) -> Path:
    replacements = {
        "/tmp/": f"{directory}/",
        "/dev/stdout": f"{directory}/access.log",
        "/run/alchemist/": f"{directory}/",
        "listen 8080": f"listen 127.0.0.1:{port}",
        "set_real_ip_from 10.0.0.0/8": f"set_real_ip_from {TRUSTED_SOURCE}",
    }
    text = NGINX_CONF
    for original, replacement in replacements.items():
        assert original in text
        text = text.replace(original, replacement)
    conf = directory / "nginx.conf"
    conf.write_text(text)
    return conf


def _globals() -> str:
    # Workers of a master that runs as root change their user, which cannot read the directory.
    return f"daemon off; {'user root;' if os.geteuid() == 0 else ''}"


def await_port(port: int) -> None:
    deadline = monotonic() + TIMEOUT
    while True:
        with closing(socket.socket()) as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert monotonic() < deadline
        sleep(0.02)
