"""Load on a server: wrk's, and for HEAD, which wrk cannot, that of as many coroutines."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles
from subprocess import PIPE, run
from tempfile import NamedTemporaryFile
from time import perf_counter

from tests.benchmarks.operations import Request

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
_IN_TURN = """
local requests, turn = {}, 0
init = function()
  for number, body in ipairs(bodies) do
    requests[number] = wrk.format(nil, nil, nil, body)
  end
end
request = function()
  turn = turn % #requests + 1
  return requests[turn]
end
"""


class LoadError(Exception):
    """A server that hung up, or was silent for too long."""


@dataclass(frozen=True)
class Load:
    """How servers are loaded: seconds of warming up, seconds measured, and connections."""

    warmup: int
    duration: int
    connections: int


@dataclass(frozen=True)
class Result:
    """What a server took of a load: requests a second, and times in milliseconds."""

    rate: float
    p50: float
    p99: float
    failed: int


def apply_load(port: int, request: Request, connections: int, seconds: int) -> Result:
    """Send a request again and again over connections that are kept; raise LoadError."""
    load = _heads if request.method == "HEAD" else _wrk
    return load(port, request, connections, seconds)


def _wrk(port: int, request: Request, connections: int, seconds: int) -> Result:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}"]
    with NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(_script(request)))
        script.flush()
        target = ["-s", script.name, f"http://127.0.0.1:{port}{request.path}"]
        finished = run([*command, *target], stdout=PIPE, text=True, check=True)
    found = json.loads(finished.stdout.strip().rpartition("\n")[2])
    rate = found["requests"] / (found["microseconds"] / 1e6)
    return Result(rate, found["p50"] / 1e3, found["p99"] / 1e3, int(found["failed"]))


def _script(request: Request) -> Iterator[str]:
    # JSON's string syntax is Lua's, as long as it is ASCII.
    yield f"wrk.method = {json.dumps(request.method)}"
    for name, value in request.headers.items():
        yield f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
    if len(request.bodies) > 1:
        yield f"local bodies = {{{', '.join(map(json.dumps, request.bodies))}}}{_IN_TURN}"
    elif request.bodies:
        yield f"wrk.body = {json.dumps(request.bodies[0])}"
    yield _REPORT


def _heads(port: int, request: Request, connections: int, seconds: int) -> Result:
    """Do what wrk does, which waits for the body that the answer to a HEAD only announces."""
    lines = [f"HEAD {request.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()
    try:
        found = asyncio.run(_clients(port, head, connections, seconds))
    except (OSError, EOFError) as error:
        raise LoadError(f"HEAD {request.path} was not answered: {error!r}.") from error
    times = [1e3 * time for time, _is_right in found]
    percentiles = quantiles(times, n=100)
    failed = sum(not is_right for _time, is_right in found)
    return Result(len(times) / seconds, percentiles[49], percentiles[98], failed)


async def _clients(
    port: int, head: bytes, connections: int, seconds: int
) -> list[tuple[float, bool]]:
    found: list[tuple[float, bool]] = []
    async with asyncio.timeout(seconds + 10):
        await asyncio.gather(*(_client(port, head, seconds, found) for _ in range(connections)))
    return found


async def _client(port: int, head: bytes, seconds: int, found: list[tuple[float, bool]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = perf_counter() + seconds
    while (began := perf_counter()) < end:
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        found.append((perf_counter() - began, answer.startswith(b"HTTP/1.1 200 ")))
    writer.close()
    await writer.wait_closed()
