"""A percentile needs so many answers: with one less nothing is said of it."""

from dataclasses import replace

import pytest

from tritongen.probe.statistics.intervals import Interval, sample_floor
from tritongen.probe.statistics.measurement import (
    ClientCost,
    LatencySummary,
    LevelVerdict,
    RequestCounts,
    VerdictInputs,
    WantedPrecision,
    judge,
)

WANTED = WantedPrecision()
NEEDED = sample_floor(WANTED.percentile / 100.0, WANTED.confidence)
LATENCY = Interval(5_000.0, 4_900.0, 5_100.0)


def counted(ok: int) -> VerdictInputs:
    lateness = LatencySummary({"p99": Interval(100.0, 100.0, 100.0)})
    return VerdictInputs(
        requests=RequestCounts(ok, ok, 0), client=ClientCost(10.0, 0.3, lateness),
        throughput=Interval(1_000.0, 990.0, 1_010.0), latency=LATENCY, median=LATENCY, capped=0,
        due=ok, outstanding=[3, 4, 3, 5, 4, 3], unanswered=0, ended="", closed=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (counted(NEEDED), LevelVerdict.VALID),
        (counted(NEEDED - 1), LevelVerdict.TOO_FEW),
        (replace(counted(NEEDED), latency=None), LevelVerdict.TOO_FEW),
    ],
)
def test_so_many_answers_and_a_percentile(evidence, verdict):
    assert judge(evidence, WANTED)[0] is verdict
    told = judge(replace(evidence, ended="it was interrupted"), WANTED)[1]
    assert told.endswith("it was interrupted")
