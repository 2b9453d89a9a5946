"""One load on one operation, and the check before it that the answers are right."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from time import monotonic
from typing import Any

from tests.benchmarks import processes, wrk
from tests.benchmarks.operations import Operation
from tests.benchmarks.processes import Entry
from tests.benchmarks.wrk import Load, Result


class Wrong(Exception):
    """An answer that is not what the operation asks for, so that its rate would mean nothing."""


@dataclass(frozen=True)
class Sample:
    """One measured load: what was taken of it, and of the server's CPU, what it and others used."""

    taken: Result
    busy: float
    others: float


def check(entry: Entry, operation: Operation) -> tuple[HTTPMessage, Any]:
    """Ask once, and return headers and content; raise Wrong unless they are what all must say."""
    request = entry.request(operation)
    body = request.bodies[0] if request.bodies else None
    connection = HTTPConnection("127.0.0.1", entry.port, timeout=30)
    connection.request(request.method, request.path, body, request.headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    content = json.loads(text) if text else None
    if answer.status != operation.status or not operation.is_right(content):
        told = f"{request.method} {request.path}: {answer.status} {text[:500]}"
        raise Wrong(f"{entry.contestant.title}, {told}")
    return answer.headers, content


def sample(entry: Entry, operation: Operation, load: Load) -> Sample:
    request = entry.request(operation)
    wrk.apply_load(entry.port, request, load.connections, load.warmup)
    since = _clocks(entry)
    taken = wrk.apply_load(entry.port, request, load.connections, load.duration)
    seconds, own, everyones = map(float.__sub__, _clocks(entry), since)
    return Sample(taken, busy=own / seconds, others=max(0.0, everyones - own) / seconds)


def _clocks(entry: Entry) -> tuple[float, float, float]:
    used = processes.cpu_seconds(entry.pid)
    return monotonic(), used, processes.cpu_seconds_of_all(entry.cpu)
