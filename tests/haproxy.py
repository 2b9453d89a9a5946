"""A real HAProxy with the configuration in `deploy/`."""

import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import which
from typing import NamedTuple

from alchemist.database import PROJECT_ROOT
from alchemist.embedded import spawn
from tests.nginx import await_port
from tests.servers import free_port

PROGRAM = which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
CONF = (PROJECT_ROOT / "deploy/haproxy/haproxy.cfg").read_text()


class HAProxy(NamedTuple):
    """The port of HAProxy, and its socket for commands."""

    port: int
    admin_socket: Path

    def administer(self, command: str) -> str:
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(str(self.admin_socket))
            client.sendall(f"{command}\n".encode())
            return client.recv(4096).decode().strip()


@contextmanager
def serving_haproxy(directory: Path, node_ports: Sequence[int]) -> Iterator[HAProxy]:
    """Yield a HAProxy in front of three nodes on these ports, with its files in a directory."""
    haproxy = HAProxy(free_port(), directory / "admin.sock")
    conf = directory / "haproxy.cfg"
    conf.write_text(
        CONF.replace("/run/haproxy/admin.sock", str(haproxy.admin_socket)).replace(
            "# server", "server"
        )
    )
    nodes = {f"NODE{n}": f"127.0.0.1:{port}" for n, port in enumerate(node_ports, 1)}
    environment = os.environ | nodes | {"BIND": f"127.0.0.1:{haproxy.port}"}
    with (directory / "haproxy.log").open("wb") as log:
        process = spawn.spawn(
            [PROGRAM or "", "-f", conf], signal.SIGTERM, stderr=log, stdout=log, env=environment
        )
    try:
        await_port(haproxy.port)
        yield haproxy
    finally:
        process.terminate()
        process.wait()
