"""A real HAProxy with the configuration in `deploy/`."""

import re
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
    text = CONF.replace("127.0.0.1:8080", f"127.0.0.1:{haproxy.port}")
    text = text.replace("/run/haproxy/admin.sock", str(haproxy.admin_socket))
    ports = iter(node_ports)
    text = re.sub(r"10\.0\.0\.\d+:8000", lambda _: f"127.0.0.1:{next(ports)}", text)
    conf = directory / "haproxy.cfg"
    conf.write_text(text)
    with (directory / "haproxy.log").open("wb") as log:
        process = spawn.spawn([PROGRAM or "", "-f", conf], signal.SIGTERM, stderr=log, stdout=log)
    try:
        await_port(haproxy.port)
        yield haproxy
    finally:
        process.terminate()
        process.wait()
