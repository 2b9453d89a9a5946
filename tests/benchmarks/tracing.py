"""Measure what traces cost: requests per second, and CPU time of a request, with and without.

The spans are sent to a receiver, which discards them. `python -m tests.benchmarks.tracing [rounds]`
traces each request, and with a share as second argument, as 0.01, only this share of them.
"""

import sys

from tests.benchmarks import comparison
from tests.server.telemetry.receivers import receiving

MAX_RATIO = 1.5


def main(rounds: str = str(comparison.ROUNDS), share: str = "1") -> int:
    with receiving() as receiver:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": share,
        }
        return comparison.compare(
            variables, MAX_RATIO, int(rounds), after_round=receiver.messages.clear
        )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
