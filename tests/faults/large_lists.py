"""12 clients that read the largest list of version 1: none is cut, and the memory suffices.

    python -m tests.faults.large_lists [--seconds 20] [--rate 8]

Exit with 1 if a response with status 200 is incomplete, if small requests fail, or if the service
needs more memory than its container in `docker-compose.yml` has.
"""

import argparse
import json
from collections import Counter
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from time import sleep

import yaml
from sqlalchemy import URL, NullPool, create_engine, text

from alchemist.database import PROJECT_ROOT
from alchemist.v1.full_list import MAX_BYTES
from tests.faults.bursts import workers
from tests.faults.memory import proportional_memory
from tests.faults.service import check, report, serving
from tests.servers import TIMEOUT, Gunicorn

READERS, SMALL_CLIENTS = 12, 4
PATH = "/api/v1/products/"
READ_SIZE = 64 * 1024
# Names and descriptions with one character outside of the BMP need four bytes each in Python.
FILL = """
    WITH store AS (
        INSERT INTO stores (pk, name, street, zipcode, city, country, currency)
        SELECT gen_random_uuid(), 'S', 'S', '1', 'C', 'C', 'EUR' RETURNING pk
    )
    INSERT INTO products (pk, store_id, currency, name, price, description)
    SELECT gen_random_uuid(), store.pk, 'EUR', '\U0001f36f' || n, 1, repeat('x', :length)
    FROM store, generate_series(1, 10000) AS n
"""


def fill(url: URL) -> None:
    """Store products whose list has nearly MAX_BYTES."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(FILL), {"length": MAX_BYTES // 10_000 - 420})


def memory_limit() -> float:
    """Return the MiB of the service's container."""
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
    limit: str = compose["services"]["service"]["deploy"]["resources"]["limits"]["memory"]
    return float(limit.removesuffix("m"))


def read_lists(port: int, rate: float, stop: Event, outcomes: Counter[str]) -> None:
    """Read the list again and again, with at most `rate` MiB a second."""
    while not stop.is_set():
        connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            connection.request("GET", PATH)
            response = connection.getresponse()
            body = bytearray()
            while part := response.read(READ_SIZE):
                body += part
                sleep(len(part) / (rate * 1024 * 1024))
            complete = response.status != 200 or len(json.loads(body)) == 10_000
            outcomes[f"list {response.status}" if complete else "list cut"] += 1
            if response.status == 503:
                sleep(1)
        except (OSError, HTTPException, ValueError) as error:
            outcomes[f"list cut: {type(error).__name__}"] += 1
        finally:
            connection.close()


def request_small(gunicorn: Gunicorn, stop: Event, outcomes: Counter[str]) -> None:
    while not stop.wait(0.1):
        outcomes[f"small {gunicorn.request('GET', '/api/v2/products?limit=1').status}"] += 1


def watch_memory(master: int, stop: Event, samples: list[float]) -> None:
    """Sample the memory of all processes of the service, shared pages counted once."""
    while not stop.wait(0.02):
        samples.append(sum(map(proportional_memory, [master, *workers(master)])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=8, help="MiB a second of each reader")
    options = parser.parse_args()
    stop, outcomes, samples = Event(), Counter[str](), list[float]()
    violations: list[str] = []
    with serving() as (gunicorn, _):
        fill(gunicorn.database)
        threads = [
            *(
                Thread(target=read_lists, args=(gunicorn.port, options.rate, stop, outcomes))
                for _ in range(READERS)
            ),
            *(
                Thread(target=request_small, args=(gunicorn, stop, outcomes))
                for _ in range(SMALL_CLIENTS)
            ),
            Thread(target=watch_memory, args=(gunicorn.process.pid, stop, samples)),
        ]
        for thread in threads:
            thread.start()
        sleep(options.seconds)
        stop.set()
        for thread in threads:
            thread.join()
        log = gunicorn.log.read_text()
    cut = {name: count for name, count in outcomes.items() if "cut" in name}
    check(violations, f"outcomes: {dict(sorted(outcomes.items()))}", not cut)
    check(violations, f"{outcomes['list 200']} complete lists", outcomes["list 200"] > 0)
    check(violations, f"{log.count('A response was cut')} cuts in the log", "was cut" not in log)
    peak = max(samples)
    limit = memory_limit()
    check(violations, f"at most {peak:.0f} MiB of {limit:.0f} in use", peak < limit)
    report(violations)


if __name__ == "__main__":
    main()
