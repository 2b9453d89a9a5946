"""Bursts of 16 kept-alive connections, and how they spread over two workers."""

import sys
from http.client import HTTPConnection
from pathlib import Path
from time import sleep

from tests.faults.service import check, report, serving
from tests.servers import Gunicorn

BURSTS, CONNECTIONS, MAX_SHARE = 10, 16, 0.6


def workers(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def established(port: int) -> dict[str, str]:
    """Return the states of the open connections to the port, by the inode of their sockets."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        line[9]: line[3] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"
    }


def count_connections(pid: int, inodes: set[str]) -> int:
    """Return how many of the sockets belong to a worker."""
    links = {
        str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()
    }
    return sum(f"socket:[{inode}]" in links for inode in inodes)


def open_connections(port: int, path: str) -> list[HTTPConnection]:
    """Open all connections, send a request on each, and only then read the responses."""
    connections = [HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.connect()
    for connection in connections:
        connection.request("GET", path)
    for connection in connections:
        assert connection.getresponse().read()
    return connections


def connections_of_workers(gunicorn: Gunicorn, path: str) -> list[int]:
    """Return how many connections of a burst each worker got; close them."""
    connections = open_connections(gunicorn.port, path)
    inodes = set(established(gunicorn.port))
    counts = [count_connections(pid, inodes) for pid in workers(gunicorn.process.pid)]
    for connection in connections:
        connection.close()
    while established(gunicorn.port):
        sleep(0.01)
    return counts


def main() -> None:
    violations: list[str] = []
    even = 0
    with serving(*sys.argv[1:], ALCHEMIST_WORKERS="2") as (gunicorn, path):
        while min(connections_of_workers(gunicorn, path)) == 0:
            # The second worker may not have started yet.
            pass
        for number in range(1, BURSTS + 1):
            counts = connections_of_workers(gunicorn, path)
            even += max(counts) <= MAX_SHARE * CONNECTIONS
            print(f"  burst {number}: {counts}")
    result = f"{even} of {BURSTS} bursts gave no worker more than {MAX_SHARE:.0%}"
    check(violations, result, even >= 0.9 * BURSTS)
    report(violations)


if __name__ == "__main__":
    main()
