"""Measure what metrics cost: requests per second, and CPU time of a request, with and without.

The service with metrics is scraped meanwhile. `python -m tests.benchmarks.metrics [rounds]`.
"""

import sys
from urllib.request import urlopen

from tests.benchmarks.comparison import compare
from tests.servers import free_port

MAX_RATIO = 1.03


def main(*arguments: str) -> int:
    bind = f"127.0.0.1:{free_port()}"
    return compare(
        {"ALCHEMIST_METRICS_BIND": bind},
        MAX_RATIO,
        *map(int, arguments),
        after_round=lambda: urlopen(f"http://{bind}/metrics").read(),
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
