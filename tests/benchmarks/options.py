"""The options of the benchmark, and the run that they make."""

import argparse
import os
import shutil
from pathlib import Path

from tests.benchmarks.outcome import BARS
from tests.benchmarks.runner import Plan
from tests.benchmarks.subjects import FASTAPI, PEERS, ROOT, Contestant
from tests.benchmarks.wrk import Load


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


def plan(options: argparse.Namespace) -> Plan:
    server_cpu, load_cpu, *_ = sorted(os.sched_getaffinity(0))
    return Plan(
        peers=options.peers,
        peers_directory=options.peers_directory.resolve(),
        peers_venv=options.venv.resolve(),
        rounds=options.rounds,
        own_rounds=1 if options.quick else options.rounds,
        load=Load(1, options.duration, options.connections),
        server_cpu=server_cpu,
        load_cpu=load_cpu,
    )


def parse(description: str | None) -> argparse.Namespace:
    parser = _parser(description)
    options = parser.parse_args()
    if options.peers is None:
        options.peers = [FASTAPI] if options.quick else list(PEERS.values())
    if options.duration is None:
        options.duration = 1 if options.quick else 3
    if complaint := _complaint(options):
        parser.exit(2, f"{complaint}\n")
    return options


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=description,
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
    option(
        "--quick",
        action="store_true",
        help="FastAPI only, 1 s a sample, one sample of Alchemist alone",
    )
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
    option("--check", action="store_true", help=f"exit 1 when a bar is missed: {_bars()}")
    return parser


def _bars() -> str:
    rates = ", ".join(f"{operation} {bar}" for operation, bar in BARS.items())
    return f"{rates} times FastAPI's rate, at a p99 no worse, and ahead of every peer"


def _peers(text: str) -> list[Contestant]:
    names = [] if text == "none" else text.split(",")
    if unknown := sorted(set(names) - set(PEERS)):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return [peer for name, peer in PEERS.items() if name in names]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(text)
