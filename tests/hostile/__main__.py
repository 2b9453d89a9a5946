"""Try hostile input on a real gunicorn: raw bytes first, then every family on every operation.

What is tried follows from the seed and the documents; how much of it, from the seconds and the
number of requests. Every violation is printed with what repeats it. Ends with 1 if there is any.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from itertools import islice
from random import Random
from time import monotonic

from tests.hostile import service, wire
from tests.hostile.families import FAMILIES, judged, requests, sample
from tests.hostile.operations import Operation, operations
from tests.hostile.shapes import SHAPES
from tests.hostile.transports import Connection, Send
from tests.servers import Gunicorn

# Of each family and operation, before the next has its turn.
AT_ONCE = 8
# Clients that reset their connections: a few hundred of them hit every moment of an answer.
VANISHING = 1000
WIRE, MUTATIONS = "wire", "mutations"
EVERY = [*FAMILIES, "cursors", MUTATIONS]


def main() -> int:
    options = _options()
    print(f"seed {options.seed}, at most {options.seconds} s, {options.requests or 'any'} requests")
    with service.opened() as (server, token):
        connection = Connection(server.port, f"Bearer {token}")
        attempts = islice(_attempts(server, token, connection.send, options), options.requests)
        count, found = 0, []
        for count, outcome in enumerate(_until(attempts, monotonic() + options.seconds), 1):
            found += outcome
            for violation in outcome if len(found) <= options.most else ():
                print(violation, flush=True)
            if count % 1000 == 0:
                print(f"{count} requests", file=sys.stderr, flush=True)
        _, traceback, rest = server.log.read_text().partition("Traceback")
        if traceback:
            found.append(f"The log holds a traceback:\n{rest[:5000]}")
            print(found[-1])
    print("statuses", dict(sorted(connection.statuses.items())))
    print(f"{count} requests, {len(found)} violations")
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--seconds", type=int, default=100)
    parser.add_argument("--requests", type=int, help="end after so many")
    parser.add_argument("--most", type=int, default=100, help="violations to print")
    parser.add_argument("--family", choices=[*EVERY, WIRE])
    return parser.parse_args()


def _until(outcomes: Iterator[list[str]], end: float) -> Iterator[list[str]]:
    for outcome in outcomes:
        yield outcome
        if monotonic() > end:
            return


def _attempts(
    server: Gunicorn, token: str, send: Send, options: argparse.Namespace
) -> Iterator[list[str]]:
    """Yield what is wrong with each answer, without end."""
    chance = Random(options.seed)
    if options.family in (None, WIRE):
        yield from _try_shapes(server, token, chance)
        yield from _try_vanishing(server, chance)
    families = [family for family in EVERY if options.family in (None, family)]
    known = list(_operations(server))
    while families:
        for operation in known:
            for family in families:
                if family == MUTATIONS:
                    yield from _try_mutations(server, token, operation, chance)
                else:
                    found = requests(family, operation, send)
                    for request in sample(found, AT_ONCE, chance):
                        yield judged(operation, request, send)
            if operation.is_write:
                service.insert_sample_data(server)


def _try_shapes(server: Gunicorn, token: str, chance: Random) -> Iterator[list[str]]:
    """Send every shape at once and in pieces."""
    for name, (raw, expected) in SHAPES.items():
        sent = wire.signed(raw, token)
        for how, parts in (("at once", [sent]), ("in pieces", wire.pieces(sent, chance))):
            found = wire.probe(server.port, parts, expected)
            yield [f"{name}, {how}: {what}\n  {wire.reproduction(sent)}" for what in found]


def _try_vanishing(server: Gunicorn, chance: Random) -> Iterator[list[str]]:
    """Be many clients that go away at once; whether that did harm stands in the log."""
    for _ in range(VANISHING):
        wire.vanish(server.port, chance)
        yield []


def _try_mutations(
    server: Gunicorn, token: str, operation: Operation, chance: Random
) -> Iterator[list[str]]:
    """Send the request that the document shows with a few of its bytes changed."""
    for _ in range(AT_ONCE):
        raw = wire.mutated(wire.signed(bytes(operation.request()), token), chance)
        found = wire.probe(server.port, [raw])
        yield [f"{operation.name}, mutated: {what}\n  {wire.reproduction(raw)}" for what in found]


def _operations(server: Gunicorn) -> Iterator[Operation]:
    for version in ("v2", "v1"):
        document = json.loads(server.request("GET", f"/api/{version}/openapi.json").body)
        yield from operations(version, document)


sys.exit(main())
