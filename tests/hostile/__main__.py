"""Try hostile input on a real gunicorn: raw bytes first, then every family on every operation.

What is tried follows from the seed and the documents; how much of it, from the seconds. Every
violation is printed with what repeats it. Ends with 1 if there is any.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from random import Random
from time import monotonic

from tests.servers import Gunicorn

from . import apothecary, wire
from .families import FAMILIES, judged, requests, sample
from .operations import Operation, operations
from .transports import Connection

# Of each family and operation, before the next has its turn.
AT_ONCE = 8


def main() -> int:
    options = _options()
    print(f"seed {options.seed}, {options.seconds} s")
    with apothecary.opened() as (server, token):
        tried, found = _try(server, token, options)
        if "Traceback" in (log := server.log.read_text()):
            found.append(f"The log holds a traceback:\n{log[-3000:]}")
    print("\n".join(sorted(found)[: options.most]))
    print(f"{tried} requests, {len(found)} violations")
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--seconds", type=int, default=100)
    parser.add_argument("--most", type=int, default=100, help="violations to print")
    parser.add_argument("--family", choices=[*FAMILIES, "cursors", "wire"])
    return parser.parse_args()


def _try(server: Gunicorn, token: str, options: argparse.Namespace) -> tuple[int, list[str]]:
    tried, found = 0, []
    until = monotonic() + options.seconds
    if options.family in (None, "wire"):
        for name, raw, expected in wire.shapes():
            tried += 1
            sent = wire.signed(raw, token)
            for what in wire.probe(server.port, sent, expected):
                found.append(f"{name}: {what}\n  {wire.reproduction(sent)}")
    connection = Connection(server.port, token)
    known = list(_operations(server))
    families = [*FAMILIES, "cursors"] if options.family is None else [options.family]
    chance = Random(options.seed)
    while options.family != "wire":
        for operation in known:
            apothecary.furnish(server)
            for family in families:
                made = requests(family, operation, connection.send)
                for request in sample(made, AT_ONCE, chance):
                    tried += 1
                    found += judged(operation, request, connection.send)
                    if monotonic() > until:
                        return tried, found
    return tried, found


def _operations(server: Gunicorn) -> Iterator[Operation]:
    for version in ("v2", "v1"):
        document = json.loads(server.request("GET", f"/api/{version}/openapi.json").body)
        yield from operations(version, document)


sys.exit(main())
