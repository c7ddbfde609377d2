"""Two configurations in interleaved blocks: A B B A, each loaded only where it is not in force."""

from functools import partial
from types import SimpleNamespace

import pytest

from support.probe import a_level
from tritongen.probe.level import Conditions
from tritongen.probe.questions.comparison import (
    _METRICS,
    Change,
    _ComparedArm,
    _PairedComparison,
)
from tritongen.probe.statistics.measurement import WantedPrecision
from tritongen.queueing import ClosedLoop


class Bench:
    """A server with a configuration in force; each has its rates, block by block."""

    def __init__(self, rates: dict[str, list[float]], ends: int = 99) -> None:
        self.rates, self.ends = rates, ends
        self.told: list[str] = []
        self.force = ""
        self.closed = 0
        conditions = Conditions(budget_s=10.0, precision=WantedPrecision(width=0.1), seed=5)
        self.request = SimpleNamespace(conditions=conditions)
        self.seeds: list[int] = []

    def load(self, label: str) -> None:
        self.force = label
        self.told.append(f"load {label}")

    def check(self) -> None:
        self.told.append(f"check {self.force}")

    def close(self) -> None:
        self.closed += 1

    def measure(self, _prober: object, _load: object, block: Conditions) -> SimpleNamespace:
        self.told.append(self.force)
        self.seeds.append(block.seed)
        rate = self.rates[self.force].pop(0)
        ended = len(self.seeds) >= self.ends
        return SimpleNamespace(results=[a_level(rate=rate)], interrupted=ended, gone=False)


def compared(bench: Bench):
    arms = [_ComparedArm(lambda: bench, partial(bench.load, label)) for label in "AB"]
    return _PairedComparison(bench, "m", ClosedLoop(2), _METRICS).run(arms, 0.05)


def test_blocks_alternate_and_end_when_three_pairs_agree():
    bench = Bench({"A": [100.0] * 9, "B": [200.0, 201.0, 199.0, 200.0, 200.0]})
    throughput, *latencies = compared(bench)
    assert bench.told[:11] == [
        "load A", "check A", "A", "load B", "check B", "B", "B", "load A", "A", "A", "load B",
    ]  # fmt: skip
    assert bench.closed == 2
    assert bench.seeds[:6] == [5, 5, 6, 6, 7, 7]
    assert throughput.change is Change.BETTER
    assert throughput.ratio.value == pytest.approx(2.0, rel=0.02)
    assert [one.change for one in latencies] == [Change.SAME, Change.SAME]


def test_the_same_is_the_same_and_fewer_is_worse():
    assert compared(Bench({"A": [100.0] * 12, "B": [100.0] * 12}))[0].change is Change.SAME
    assert compared(Bench({"A": [200.0] * 12, "B": [100.0] * 12}))[0].change is Change.WORSE


@pytest.mark.parametrize(("ends", "pairs"), [(1, 0), (3, 3), (5, 3)])
def test_what_was_interrupted_keeps_the_pairs_it_has(ends, pairs):
    bench = Bench({"A": [100.0] * 12, "B": [150.0] * 12}, ends)
    assert len(compared(bench)) == pairs
    assert len(bench.seeds) == ends
    assert bench.closed == min(ends, 2)
