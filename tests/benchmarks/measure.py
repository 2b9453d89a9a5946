"""One load of wrk on one operation, and the check before it that the answers are right."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from subprocess import PIPE, run
from time import monotonic

from . import processes
from .contestants import Contestant
from .operations import Keys, Operation

# wrk hands its script plain numbers (microseconds), where its own report rounds and changes units.
_REPORT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "microseconds": %d, "p50": %f, "p99": %f, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""


class Wrong(Exception):
    """An answer that is not what the operation asks for, so that its rate would mean nothing."""


@dataclass(frozen=True)
class Load:
    """How wrk loads: seconds of warming up, seconds measured, connections, and its CPU."""

    warmup: int
    duration: int
    connections: int
    cpu: int


@dataclass(frozen=True)
class Sample:
    """One measured load: times in milliseconds; of the server's CPU, what it and others used."""

    rate: float
    p50: float
    p99: float
    failed: int
    busy: float
    others: float


@dataclass(frozen=True)
class Entry:
    """A contestant that is serving on its CPU."""

    contestant: Contestant
    keys: Keys
    cpu: int
    pid: int
    port: int


def check(entry: Entry, operation: Operation) -> None:
    """Ask once; raise Wrong unless status and content are what every contestant must answer."""
    connection = HTTPConnection("127.0.0.1", entry.port, timeout=30)
    body = operation.body_with(entry.keys)
    path = entry.contestant.prefix + operation.path_with(entry.keys)
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != operation.status or not operation.is_right(json.loads(text)):
        raise Wrong(f"{entry.contestant.title}, {path}: {answer.status} {text[:500]}")


def sample(entry: Entry, operation: Operation, load: Load, directory: Path) -> Sample:
    script = directory / "wrk.lua"
    script.write_text(_request(operation.body_with(entry.keys)) + _REPORT)
    path = entry.contestant.prefix + operation.path_with(entry.keys)
    target = ["-s", str(script), f"http://127.0.0.1:{entry.port}{path}"]
    _wrk(load, load.warmup, target)
    since = _clocks(entry)
    found = _wrk(load, load.duration, target)
    seconds, own, everyones = map(float.__sub__, _clocks(entry), since)
    return Sample(
        rate=found["requests"] / (found["microseconds"] / 1e6),
        p50=found["p50"] / 1e3,
        p99=found["p99"] / 1e3,
        failed=int(found["failed"]),
        busy=own / seconds,
        others=max(0.0, everyones - own) / seconds,
    )


def _clocks(entry: Entry) -> tuple[float, float, float]:
    used = processes.cpu_seconds(entry.pid)
    return monotonic(), used, processes.cpu_seconds_of_all(entry.cpu)


def _request(body: str | None) -> str:
    if body is None:
        return ""
    # JSON's string syntax is Lua's, as long as it is ASCII.
    return (
        f'wrk.method = "POST"\nwrk.body = {json.dumps(body)}\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )


def _wrk(load: Load, seconds: int, target: list[str]) -> dict[str, float]:
    pinned = ["taskset", "-c", str(load.cpu), "wrk", "-t1"]
    size = [f"-c{load.connections}", f"-d{seconds}"]
    finished = run([*pinned, *size, *target], stdout=PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(finished.stdout.strip().rpartition("\n")[2])
    return found
