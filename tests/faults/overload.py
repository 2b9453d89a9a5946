"""Send far more requests at once than the service can handle, and count those that it serves.

The load is Debian's `wrk`, which sends the next request on a
connection as soon as it has a response. So rejections that cost much would take all of the time.
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
    output = run([*command, url], capture_output=True, text=True, check=True).stdout
    print("   ", " ".join(re.findall(r"(?:Socket|Non|Requests/sec).*", output)))
    total = float(re.search(r"Requests/sec: +([0-9.]+)", output)[1])
    others = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", output)
    rejected = int(others[1]) / SECONDS if others else 0.0
    return total - rejected, rejected


def check_liveness(
    gunicorn: Gunicorn, stop: Event, live_responses: list[tuple[int, float]]
) -> None:
    while not stop.wait(0.2):
        started = monotonic()
        live_responses.append((gunicorn.request("GET", "/livez").status, monotonic() - started))


def main() -> None:
    served_rates, ratios, rejections = [], [], 0.0
    live_responses: list[tuple[int, float]] = []
    with serving(*sys.argv[1:]) as (gunicorn, path):
        rate(gunicorn.port, path, SUSTAINED)
        for _ in range(ROUNDS):
            sleep(1)
            peak, _none = rate(gunicorn.port, path, SUSTAINED)
            stop = Event()
            checker = Thread(target=check_liveness, args=(gunicorn, stop, live_responses))
            checker.start()
            served, rejected = rate(gunicorn.port, path, OVERLOAD)
            stop.set()
            checker.join()
            served_rates.append(served)
            ratios.append(served / peak)
            rejections += rejected
            print(
                f"  {peak:.0f} a second at best; overloaded {served:.0f}, {rejected:.0f} rejected"
            )
    violations: list[str] = []
    result = (
        f"{median(ratios):.0%} of the best rate remains ({', '.join(f'{r:.0%}' for r in ratios)})"
    )
    check(violations, result, median(ratios) >= 0.8)
    check(violations, f"{rejections:.0f} rejections a second", rejections > 0)
    slowest = max(seconds for _, seconds in live_responses)
    result = f"{len(live_responses)} responses of /livez, within {slowest:.2f} s at most"
    check(violations, result, slowest < 2 and {status for status, _ in live_responses} == {200})
    report(violations)


if __name__ == "__main__":
    main()
