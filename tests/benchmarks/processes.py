"""Linux processes: started on one CPU, watched, and ended with everything they started."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from signal import SIGKILL
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from time import monotonic, sleep

from tests.benchmarks.operations import Keys, Operation, Request
from tests.benchmarks.subjects import Contestant, Home

START_SECONDS = 30
STOP_SECONDS = 10


class Dead(Exception):
    """A server that ended, or never answered; the text ends with what it logged."""


@dataclass(frozen=True)
class Entry:
    """A contestant that is serving on its CPU."""

    contestant: Contestant
    keys: Keys
    cpu: int
    pid: int
    port: int
    log: Path

    def request(self, operation: Operation) -> Request:
        return operation.request(self.contestant.prefix, self.keys)


@dataclass(frozen=True)
class Memory:
    """MiB of a process: what is resident, and that with shared pages divided by their users."""

    resident: float
    proportional: float


@contextmanager
def serving(contestant: Contestant, home: Home, cpu: int, directory: Path) -> Iterator[Entry]:
    """Yield a contestant that answers; raise Dead. Ends its whole session."""
    port, log = free_port(), directory / f"{contestant.name}.log"
    command = [str(home.python), *contestant.arguments(port)]
    with log.open("wb") as output:
        # pdeathsig: not even kill -9 of the benchmark leaves a server behind.
        process = Popen(
            ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(cpu), *command],
            cwd=home.directory,
            env=home.environment,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for_answer(process, port, f"{contestant.prefix}/ingredients?limit=1", log)
        yield Entry(contestant, home.keys, cpu, process.pid, port, log)
    finally:
        _end(process)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for_answer(process: Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = monotonic() + START_SECONDS
    while process.poll() is None and monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        with suppress(OSError), closing(connection):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        sleep(0.1)
    raise Dead(f"{log.stem} does not serve {path}:\n{log.read_text(errors='replace')[-2000:]}")


def _end(process: Popen[bytes]) -> None:
    process.terminate()
    with suppress(TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)
    process.wait()


def tree(pid: int) -> list[int]:
    """Return the pid and those of all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    """Return what the process and its descendants have used of any CPU so far."""
    ticks = 0
    for member in tree(pid):
        numbers = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(numbers[11]) + int(numbers[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_all(cpu: int) -> float:
    """Return what all processes together have used of one CPU, or lost of it to other machines."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = next(line.split() for line in lines if line.startswith(f"cpu{cpu} "))
    user, nice, system, steal = (int(fields[place]) for place in (1, 2, 3, 8))
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    """Return the memory of the largest process under `pid`: the one that serves."""
    found = (_memory(member) for member in tree(pid))
    return max(found, key=lambda one: one.resident)


def _memory(pid: int) -> Memory:
    _, *lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = {name: int(amount) for name, amount, _unit in map(str.split, lines)}
    return Memory(kib["Rss:"] / 1024, kib["Pss:"] / 1024)
