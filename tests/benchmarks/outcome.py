"""What a run has found, how contestants compare in it, and the bars that must be cleared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.measure import Sample
from tests.benchmarks.processes import Memory
from tests.benchmarks.subjects import ALCHEMIST, FASTAPI, PEERS, Contestant

# By the names of contestant and operation, one for each round.
Samples = dict[tuple[str, str], list[Sample]]

# How many times FastAPI's rate Alchemist must reach, at a p99 that is no worse, and ahead of every
# other peer. They only ever rise.
BARS = {
    "get-ingredient": 1.3,
    "list-ingredients": 2.0,
    "get-potion": 2.0,
    "list-potions": 7.0,
    "create-ingredient": 1.3,
    "create-potion": 1.8,
}


def rate(sample: Sample) -> float:
    return sample.taken.rate


def p50(sample: Sample) -> float:
    return sample.taken.p50


def p99(sample: Sample) -> float:
    return sample.taken.p99


@dataclass(frozen=True)
class Outcome:
    """Samples; memory by contestant; statements of Alchemist by operation."""

    samples: Samples
    memory: dict[str, Memory]
    statements: dict[str, int]
    postgresql: str

    @property
    def peers(self) -> list[Contestant]:
        return [peer for peer in PEERS.values() if peer.name in self.memory]

    @property
    def failed(self) -> int:
        return sum(one.taken.failed for found in self.samples.values() for one in found)

    def of(self, contestant: Contestant, operation: str) -> list[Sample]:
        """Return the samples, of which there are none where it was not measured."""
        return self.samples.get((contestant.name, operation), [])

    def ratio(
        self, operation: str, peer: Contestant, figure: Callable[[Sample], float] = rate
    ) -> float | None:
        """Return Alchemist's figure by the peer's, or None where either was not measured.

        Of each round, whose neighbours in time share the machine's mood; and of these the median.
        """
        ours, theirs = self.of(ALCHEMIST, operation), self.of(peer, operation)
        pairs = zip(ours, theirs, strict=True) if theirs else ()
        return median(found) if (found := [figure(a) / figure(b) for a, b in pairs]) else None

    def best_peer(self, operation: str) -> Contestant | None:
        rates = {
            peer: median(map(rate, found))
            for peer in self.peers
            if (found := self.of(peer, operation))
        }
        return max(rates, key=rates.__getitem__, default=None)

    def missed(self) -> Iterator[str]:
        """Yield a line for each bar that was not cleared, or not measured."""
        for operation, bar in BARS.items():
            ratio, slowness = (self.ratio(operation, FASTAPI, figure) for figure in (rate, p99))
            if ratio is None or slowness is None:
                yield f"{operation}: not measured beside {FASTAPI.title}."
                continue
            if ratio < bar:
                yield f"{operation}: {ratio:.2f} of {FASTAPI.title}'s rate; it must be {bar:.2f}."
            if slowness > 1:
                yield f"{operation}: {slowness:.2f} of {FASTAPI.title}'s p99; 1.00 is the most."
            yield from self._behind(operation)

    def _behind(self, operation: str) -> Iterator[str]:
        best = self.best_peer(operation)
        ratio = self.ratio(operation, best) if best else None
        if best and ratio is not None and ratio <= 1:
            yield f"{operation}: {ratio:.2f} of {best.title}'s rate, the best peer's."
