"""Measure Alchemist beside its peers, requests per second of one core, on this machine.

A private PostgreSQL is started and filled. Every contestant serves with one process on one CPU;
wrk and PostgreSQL share another. Operation by operation the contestants take turns for some
rounds; medians and ratios are printed. An answer that is not 2xx voids the run. Whatever was
started is ended again. Needs Debian's wrk and two CPUs.
"""

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path
from subprocess import CalledProcessError

from alchemist import embedded

from . import measure, processes, race, report
from .contestants import FASTAPI, PEERS, ROOT, Contestant
from .measure import Load
from .race import Outcome, Plan


def main() -> int:
    options = _options()
    plan = _plan(options)
    print(f"The loads take {plan.seconds} s; installing, starting and filling come on top.")
    # An ordinary kill, too, unwinds the blocks that end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        outcome = race.run(plan)
    except (embedded.Unusable, measure.Wrong, processes.Dead, CalledProcessError) as error:
        sys.exit(f"The run is void. {error}")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    text = report.markdown(outcome, plan.load)
    print(f"\n{text}")
    if options.output:
        options.output.write_text(text)
    return _verdict(outcome, check=options.check)


def _verdict(outcome: Outcome, *, check: bool) -> int:
    if failed := report.failed(outcome):
        print(f"The run is void: {failed} answers were not 2xx, or never came.")
        return 1
    missed = report.missed(outcome) if check else []
    print("\n".join(missed))
    return 1 if missed else 0


def _complaint(options: argparse.Namespace) -> str | None:
    """Return what keeps the benchmark from running, in one line."""
    if shutil.which("wrk") is None:
        return "wrk is missing; Debian has it: apt-get install wrk."
    if len(os.sched_getaffinity(0)) < 2:
        return "Two CPUs are needed: one for the server, one for the load and PostgreSQL."
    if options.peers and not (options.peers_directory / "requirements.txt").exists():
        return f"There are no peers in {options.peers_directory}; say where, or --peers none."
    if options.check and FASTAPI not in options.peers:
        return "--check compares with fastapi, which --peers leaves out."
    return None


def _plan(options: argparse.Namespace) -> Plan:
    server_cpu, load_cpu, *_ = sorted(os.sched_getaffinity(0))
    return Plan(
        peers=options.peers,
        peers_directory=options.peers_directory.resolve(),
        peers_venv=options.venv.resolve(),
        rounds=options.rounds,
        load=Load(1, options.duration, options.connections, load_cpu),
        server_cpu=server_cpu,
    )


def _options() -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args()
    if options.peers is None:
        options.peers = [FASTAPI] if options.quick else list(PEERS.values())
    if options.duration is None:
        options.duration = 1 if options.quick else 3
    if complaint := _complaint(options):
        parser.exit(2, f"{complaint}\n")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option(
        "peers_directory",
        nargs="?",
        type=Path,
        default=ROOT.parent / "shared" / "peers",
        help="where the peers' code and requirements are (%(default)s)",
    )
    option("--quick", action="store_true", help="FastAPI only, 1 s a sample: about a minute")
    option(
        "--peers",
        type=_peers,
        metavar="NAME,…",
        help=f"which of {', '.join(PEERS)} (all), or none",
    )
    option("--rounds", type=_positive, default=3, metavar="N", help="samples of each (%(default)s)")
    option("--duration", type=_positive, metavar="S", help="seconds of a sample (3)")
    option("--connections", type=_positive, default=8, metavar="N", help="kept alive (%(default)s)")
    option(
        "--venv",
        type=Path,
        default=ROOT / "build" / "peers",
        help="the peers' virtual environment, kept for the next run (%(default)s)",
    )
    option("--output", type=Path, metavar="FILE", help="write the tables as Markdown, too")
    option("--check", action="store_true", help="exit 1 when a bar is missed: " + report.bars())
    return parser


def _peers(text: str) -> list[Contestant]:
    names = [] if text == "none" else text.split(",")
    if unknown := sorted(set(names) - set(PEERS)):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return [peer for name, peer in PEERS.items() if name in names]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
