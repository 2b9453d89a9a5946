"""Far more requests at a time than the service can take, and how many it still answers.

The load is Debian's `wrk`, whose connections ask again as soon as they are answered: a refusal
that cost much, or invited to the next one, would be all that the service does.
"""

import re
import sys
from statistics import median
from subprocess import run
from threading import Event, Thread
from time import monotonic, sleep

from tests.faults.service import check, report, serving
from tests.servers import Gunicorn

ROUNDS, SECONDS = 3, 6
# Both workers can take (4 + 64) at a time with four threads each.
SUSTAINED, OVERLOAD = 32, 4 * 2 * (4 + 64)


def rate(port: int, path: str, connections: int) -> tuple[float, float]:
    """Return how many requests a second were answered with 200, and how many otherwise."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "10s"]
    url = f"http://127.0.0.1:{port}{path}"
    said = run([*command, url], capture_output=True, text=True, check=True).stdout
    print("   ", " ".join(re.findall(r"(?:Socket|Non|Requests/sec).*", said)))
    total = float(re.search(r"Requests/sec: +([0-9.]+)", said)[1])
    others = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", said)
    refused = int(others[1]) / SECONDS if others else 0.0
    return total - refused, refused


def look(gunicorn: Gunicorn, stop: Event, lives: list[tuple[int, float]]) -> None:
    while not stop.wait(0.2):
        started = monotonic()
        lives.append((gunicorn.request("GET", "/livez").status, monotonic() - started))


def main() -> None:
    goods, ratios, refusals = [], [], 0.0
    lives: list[tuple[int, float]] = []
    with serving(*sys.argv[1:]) as (gunicorn, path):
        rate(gunicorn.port, path, SUSTAINED)
        for _ in range(ROUNDS):
            sleep(1)
            peak, _none = rate(gunicorn.port, path, SUSTAINED)
            stop = Event()
            looking = Thread(target=look, args=(gunicorn, stop, lives))
            looking.start()
            good, refused = rate(gunicorn.port, path, OVERLOAD)
            stop.set()
            looking.join()
            goods.append(good)
            ratios.append(good / peak)
            refusals += refused
            print(f"  {peak:.0f} a second at best; overloaded {good:.0f} and {refused:.0f} refused")
    violations: list[str] = []
    told = (
        f"{median(ratios):.0%} of the best rate is left ({', '.join(f'{r:.0%}' for r in ratios)})"
    )
    check(violations, told, median(ratios) >= 0.8)
    check(violations, f"{refusals:.0f} refusals a second", refusals > 0)
    slowest = max(seconds for _, seconds in lives)
    told = f"{len(lives)} times alive meanwhile, after {slowest:.2f} s at most"
    check(violations, told, slowest < 2 and {status for status, _ in lives} == {200})
    report(violations)


if __name__ == "__main__":
    main()
