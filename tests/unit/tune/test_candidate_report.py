"""The report: every candidate, its numbers and why it lost."""

import pytest

from support.synthetic_triton import CONVNET, SyntheticTriton, run_tuning
from tritongen.model.backends import BACKENDS
from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import ClosedLoop
from tritongen.tune.search.candidate_report import Evaluated, evaluated, pareto
from tritongen.tune.search.objective import parse_goal
from tritongen.tune.search.search_settings import TuneSettings
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.tuner import Tuner

BASELINE = Candidate(2, 2, 4, 0)


def new_tuner():
    settings = TuneSettings(parse_goal("throughput"), 2, budget_s=60.0)
    space = SearchSpace(BACKENDS["onnxruntime"], 2, batchable=True, max_batch=8)
    return Tuner(settings, space, incumbent=Candidate(1, 1), baseline=BASELINE)


@pytest.fixture(scope="module")
def tuner():
    tuner = new_tuner()
    run_tuning(tuner, SyntheticTriton(CONVNET, 2, 1))
    return tuner


def test_every_candidate_has_a_row(tuner):
    rows = evaluated(tuner)
    race = tuner.race
    assert {row.candidate for row in rows} == {*race.space.candidates(), BASELINE}


def test_the_best_comes_first_and_the_losers_say_why(tuner):
    rows = evaluated(tuner)
    assert rows[0].fate == "best"
    assert rows[0].candidate == tuner.best().candidate
    assert rows[0].why == ""
    assert all(row.why for row in rows[1:] if row.fate != "baseline")
    assert all(row.throughput is not None for row in rows if row.rounds)


def test_a_slow_incumbent_is_behind_with_numbers(tuner):
    rows = evaluated(tuner)
    (row,) = [row for row in rows if row.candidate == Candidate(1, 1)]
    assert row.fate == "behind"
    share, _, rest = row.why.partition("% behind ")
    assert float(share) > 10.0
    # Whoever led when it dropped out has both cores, and was measured to be faster.
    (leader,) = [one for one in rows if one.candidate.key == rest.split(" (")[0]]
    assert leader.candidate.total_threads == 2
    assert leader.throughput.low > row.throughput.high


def test_the_baseline_is_measured_but_not_predicted(tuner):
    (row,) = [row for row in evaluated(tuner) if row.fate == "baseline"]
    assert row.candidate == BASELINE
    assert row.predicted is None
    assert row.rounds == 3


def test_nothing_to_report_before_calibration():
    assert evaluated(new_tuner()) == ()


def test_the_front_holds_what_nothing_beats():
    def row(instances, throughput, latency, fate="behind"):
        def exactly(value):
            return Interval(value, value, value)

        return Evaluated(
            Candidate(instances, 1),
            ClosedLoop(1),
            fate,
            None,
            exactly(throughput),
            exactly(latency),
        )

    slow, fast, beaten = row(1, 100.0, 0.01), row(2, 200.0, 0.02), row(3, 90.0, 0.015)
    untried = Evaluated(Candidate(4, 1), ClosedLoop(1), "predicted", None)
    assert pareto([fast, beaten, slow, row(5, 999.0, 0.001, "baseline"), untried]) == (slow, fast)
