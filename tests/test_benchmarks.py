"""The benchmark without its loads: the answers it demands, and what it makes of samples."""

import os
import re
from itertools import pairwise

from alchemist.database import PROJECT_ROOT
from tests.benchmarks import report, runner
from tests.benchmarks.measure import Sample
from tests.benchmarks.operations import COMPARED
from tests.benchmarks.outcome import BARS, Outcome
from tests.benchmarks.own import OWN
from tests.benchmarks.processes import Memory
from tests.benchmarks.runner import Plan
from tests.benchmarks.subjects import ALCHEMIST, CLOSED, FASTAPI, PEERS, Contestant
from tests.benchmarks.wrk import Load, Result

LOAD = Load(warmup=1, duration=1, connections=8)
LITESTAR = PEERS["litestar"]


def sampled(*rates: float, p99: float = 5.0) -> list[Sample]:
    return [Sample(Result(rate, 1.0, p99, 0), busy=1.0, others=0.0) for rate in rates]


def found(*peers: Contestant) -> Outcome:
    """Return an outcome in which Alchemist is ten times as fast as each peer."""
    samples = {(ALCHEMIST.name, one.name): sampled(1000, 1000) for one in COMPARED}
    samples |= {(CLOSED.name, one.name): sampled(500) for one in OWN}
    for peer in peers:
        able = [one.name for one in COMPARED if one.name not in peer.cannot]
        samples |= {(peer.name, name): sampled(100, 100) for name in able}
    memory = {one.name: Memory(80.0, 60.0) for one in (ALCHEMIST, *peers)}
    return Outcome(samples, memory, {one.name: 1 for one in (*COMPARED, *OWN)}, "18.4")


def test_every_operation_is_answered_right_and_every_read_is_one_statement():
    """Run all that a run does but for the loads, which take long and say nothing here."""
    cpu, nowhere = min(os.sched_getaffinity(0)), PROJECT_ROOT / "build"
    outcome = runner.run(Plan([], nowhere, nowhere, 0, 0, LOAD, server_cpu=cpu, load_cpu=cpu))
    statements = {one.title: outcome.statements[one.name] for one in (*COMPARED, *OWN)}
    reads = {one.title: 1 for one in (*COMPARED, *OWN) if one.method != "POST"}
    assert statements == statements | reads


def test_a_ratio_is_the_median_of_the_rounds_own():
    samples = {
        (ALCHEMIST.name, "get-potion"): sampled(100, 30, 400),
        (FASTAPI.name, "get-potion"): sampled(50, 10, 100),
    }
    assert Outcome(samples, {}, {}, "").ratio("get-potion", FASTAPI) == 3


def test_there_is_no_ratio_to_a_peer_that_was_not_measured():
    assert found(FASTAPI).ratio("get-potion", LITESTAR) is None


def test_there_is_a_bar_for_every_operation_that_is_compared():
    assert list(BARS) == [one.name for one in COMPARED]


def test_who_clears_every_bar_has_missed_none():
    assert list(found(*PEERS.values()).missed()) == []


def test_a_rate_below_its_bar_is_told():
    outcome = found(FASTAPI)
    outcome.samples[FASTAPI.name, "list-potions"] = sampled(145, 145)
    missed = ["list-potions: 6.90 of FastAPI's rate; it must be 7.00."]
    assert list(outcome.missed()) == missed


def test_a_p99_worse_than_that_of_fastapi_is_told():
    outcome = found(FASTAPI)
    outcome.samples[FASTAPI.name, "get-potion"] = sampled(100, 100, p99=4.0)
    assert list(outcome.missed()) == ["get-potion: 1.25 of FastAPI's p99; 1.00 is the most."]


def test_a_better_peer_is_told():
    outcome = found(FASTAPI, LITESTAR)
    outcome.samples[LITESTAR.name, "create-potion"] = sampled(1250, 1250)
    missed = ["create-potion: 0.80 of Litestar's rate, the best peer's."]
    assert list(outcome.missed()) == missed


def test_a_bar_that_was_not_measured_is_missed():
    assert len(list(found(LITESTAR).missed())) == len(BARS)


def test_an_operation_that_a_peer_lacks_is_blank_in_the_report():
    rows = report.summary(found(*PEERS.values()), LOAD).splitlines()
    ninja = next(row for row in rows if row.startswith("| Django Ninja"))
    assert re.split(r" *\| *", ninja)[1:-1] == ["Django Ninja", *["100"] * 5, ""]


def test_without_peers_the_report_compares_with_none():
    assert "FastAPI" not in report.markdown(found(), LOAD)


def labels(text: str) -> list[list[str]]:
    """Return the headings of the tables of a report, and the first cell of every row."""
    rows = [re.split(r" *\| *", row)[1:-1] for row in text.splitlines() if row.startswith("|")]
    headings = [row for row, rule in pairwise(rows) if set("".join(rule)) == {"-"}]
    return headings + [row[:1] for row in rows if row not in headings and row[0].strip("-")]


def test_the_readme_shows_what_a_run_reports():
    readme = (PROJECT_ROOT / "README.md").read_text()
    shown = readme.partition("\n## Benchmarks\n")[2].partition("\n## ")[0]
    reports = [report.summary(found(*peers), LOAD) for peers in ([FASTAPI], PEERS.values())]
    assert labels(shown) in [labels(text) for text in reports]
