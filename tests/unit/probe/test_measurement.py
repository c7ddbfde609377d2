from dataclasses import replace

import pytest

from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import (
    ClientCost,
    LatencySummary,
    LevelVerdict,
    RequestCounts,
    VerdictInputs,
    WantedPrecision,
    judge,
    percentile_key,
    saturation,
)


def late(lateness_us: float = 100.0, busy_share: float = 0.3) -> ClientCost:
    interval = Interval(lateness_us, lateness_us, lateness_us)
    return ClientCost(10.0, busy_share, LatencySummary({"p99": interval}))


def few(ok: int, failed: int = 0, code: str = "", example: str = "") -> RequestCounts:
    codes = {code: failed} if code else {}
    return RequestCounts(ok + failed, ok, failed, codes, {code: example} if code else {})


GOOD = VerdictInputs(
    requests=RequestCounts(10_000, 10_000, 0),
    client=late(),
    throughput=Interval(1_000.0, 980.0, 1_020.0),
    latency=Interval(5_000.0, 4_800.0, 5_200.0),
    median=Interval(2_000.0, 2_000.0, 2_000.0),
    capped=0,
    due=10_000,
    outstanding=[3, 4, 3, 5, 4, 3],
    unanswered=0,
    ended="",
    closed=False,
)


def test_precise_numbers_are_valid():
    verdict, reason = judge(GOOD, WantedPrecision())
    assert verdict is LevelVerdict.VALID
    assert "p99 within ±4.0%" in reason


@pytest.mark.parametrize(
    ("change", "verdict", "says"),
    [
        (
            {"latency": Interval(5e3, 3e3, 9e3)},
            LevelVerdict.UNSTABLE,
            "p99 is only known within ±60%",
        ),
        (
            {"throughput": Interval(1e3, 500, 1.5e3)},
            LevelVerdict.UNSTABLE,
            "throughput is only known",
        ),
        (
            {"latency": Interval(1e3, 5e2, 3e4)},
            LevelVerdict.UNSTABLE,
            "p99 is not known within ±100%",
        ),
        ({"ended": "interrupted"}, LevelVerdict.UNSTABLE, "interrupted"),
        (
            {"requests": few(100), "latency": None},
            LevelVerdict.TOO_FEW,
            "at least 368 successful requests",
        ),
        (
            {"requests": few(0, 50, "HTTP 503", "no")},
            LevelVerdict.TOO_FEW,
            "all 50 requests failed: HTTP 503 no",
        ),
        ({"requests": few(0), "unanswered": 4}, LevelVerdict.TOO_FEW, "4 still wait"),
        ({"requests": few(0)}, LevelVerdict.TOO_FEW, "no request was due"),
        (
            {"requests": few(0, 9), "client": late(9e3)},
            LevelVerdict.TOO_FEW,
            "all 9 requests failed",
        ),
        ({"client": late(900.0)}, LevelVerdict.GENERATOR_LATE, "left 0.9 ms or more after"),
        (
            {"closed": True, "client": late(busy_share=0.99)},
            LevelVerdict.GENERATOR_LATE,
            "99% of a core",
        ),
        ({"outstanding": list(range(0, 3_000, 10))}, LevelVerdict.SATURATED, "does not keep up"),
    ],
)
def test_each_verdict_has_its_reason(change, verdict, says):
    found, reason = judge(replace(GOOD, **change), WantedPrecision())
    assert found is verdict
    assert says in reason


def test_lateness_that_is_little_beside_the_latency_is_none():
    assert (
        judge(replace(GOOD, client=late(900.0), median=Interval(5e4, 5e4, 5e4)), WantedPrecision())[
            0
        ]
        == "VALID"
    )


def test_requests_that_wait_for_a_free_slot_are_not_late():
    assert judge(replace(GOOD, client=late(90_000.0), capped=5), WantedPrecision())[0] == "VALID"


def test_a_backlog_that_comes_and_goes_is_no_saturation():
    assert not saturation([5, 400, 3, 5, 380, 4, 2, 410, 6], 10_000)
    assert not saturation([1, 2, 3, 4, 5, 6], 1_000)
    assert not saturation([], 0)


def test_precision_needs_both_intervals():
    wide, narrow = Interval(100, 50, 150), Interval(100, 99, 101)
    assert WantedPrecision().reached(narrow, narrow)
    assert not WantedPrecision().reached(narrow, wide)
    assert not WantedPrecision().reached(wide, narrow)
    assert not WantedPrecision().reached(None, narrow)


def test_names_of_percentiles():
    assert [percentile_key(p) for p in (50.0, 99.0, 99.9)] == ["p50", "p99", "p999"]
    assert [str(v) for v in LevelVerdict] == [
        "VALID",
        "UNSTABLE",
        "SATURATED",
        "TOO FEW",
        "GENERATOR LATE",
    ]
