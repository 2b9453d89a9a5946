"""Measure what rate limits cost: requests per second, and CPU time of a request, with and without.

All requests are from one address, which gets half of the threads, and stay below the limits.
`python -m tests.benchmarks.limits [rounds]`.
"""

import sys

from tests.benchmarks.comparison import compare

MAX_RATIO = 1.05
LIMIT = "1000000"


def main(*arguments: str) -> int:
    names = ("REQUESTS", "COSTLY_REQUESTS", "FAILED_AUTHENTICATIONS")
    limits = {f"ALCHEMIST_LIMIT_{name}": LIMIT for name in names}
    return compare(limits, MAX_RATIO, *map(int, arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
