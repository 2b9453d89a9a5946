"""Measure Alchemist beside its peers, and alone, requests per second of one core.

A private PostgreSQL is started and filled. Every contestant serves with one process on one CPU;
wrk and PostgreSQL share another. Operation by operation the contestants take turns for some
rounds; then Alchemist, without open access, does what it alone can. Medians and ratios are printed,
first in the form in which the README shows them. An answer that is none of 2xx and 3xx voids the
run. Whatever was started is ended again. Needs Debian's wrk and two CPUs.
"""

import os
import signal
import sys
from subprocess import CalledProcessError

from alchemist import embedded
from tests.benchmarks import measure, options, processes, report, runner, wrk
from tests.benchmarks.outcome import Outcome

_VOID = (
    embedded.EmbeddedPostgresError,
    wrk.LoadError,
    measure.Wrong,
    processes.Dead,
    CalledProcessError,
)


def main() -> int:
    given = options.parse(__doc__)
    plan = options.plan(given)
    print(f"The loads take {plan.seconds} s; installing, starting and filling come on top.")
    # wrk and PostgreSQL inherit it; whoever serves has another.
    os.sched_setaffinity(0, {plan.load_cpu})
    # An ordinary kill, too, unwinds the blocks that end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        outcome = runner.run(plan)
    except _VOID as error:
        sys.exit(f"The run is void. {error}")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    text = report.markdown(outcome, plan.load)
    print(f"\n{text}")
    if given.output:
        given.output.write_text(text)
    return _verdict(outcome, check=given.check)


def _verdict(outcome: Outcome, *, check: bool) -> int:
    if outcome.failed:
        print(f"The run is void: {outcome.failed} answers were 4xx or 5xx, or never came.")
        return 1
    missed = list(outcome.missed()) if check else []
    print("\n".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
