"""Bursts of 16 kept-alive connections, and how they spread over two workers."""

import sys
from http.client import HTTPConnection
from pathlib import Path
from time import sleep

from tests.faults.service import check, report, serving
from tests.servers import Gunicorn

BURSTS, CONNECTIONS, MOST = 10, 16, 0.6


def workers(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def established(port: int) -> dict[str, str]:
    """Return the inodes of the sockets that the service has, by those of its connections."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        line[9]: line[3] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"
    }


def of_worker(pid: int, inodes: set[str]) -> int:
    """Return how many of the connections a worker has."""
    links = {
        str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()
    }
    return sum(f"socket:[{inode}]" in links for inode in inodes)


def burst(port: int, path: str) -> list[HTTPConnection]:
    """Connect all, ask on all, and only then read the answers."""
    connections = [HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.connect()
    for connection in connections:
        connection.request("GET", path)
    for connection in connections:
        assert connection.getresponse().read()
    return connections


def spread(gunicorn: Gunicorn, path: str) -> list[int]:
    """Return how many connections of a burst each worker got, after they have ended."""
    connections = burst(gunicorn.port, path)
    inodes = set(established(gunicorn.port))
    found = [of_worker(pid, inodes) for pid in workers(gunicorn.process.pid)]
    for connection in connections:
        connection.close()
    while established(gunicorn.port):
        sleep(0.01)
    return found


def main() -> None:
    violations: list[str] = []
    even = 0
    with serving(*sys.argv[1:], ALCHEMIST_WORKERS="2") as (gunicorn, path):
        while min(spread(gunicorn, path)) == 0:
            # The second worker may not have started yet.
            pass
        for number in range(1, BURSTS + 1):
            found = spread(gunicorn, path)
            even += max(found) <= MOST * CONNECTIONS
            print(f"  burst {number}: {found}")
    told = f"{even} of {BURSTS} bursts gave no worker more than {MOST:.0%}"
    check(violations, told, even >= 0.9 * BURSTS)
    report(violations)


if __name__ == "__main__":
    main()
