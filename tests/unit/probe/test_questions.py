"""How a search climbs: what it measures next, when it gives up, and what it answers."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from support.probe import a_level, constant, one_server, virtual_level
from tritongen.probe.level import Conditions
from tritongen.probe.questions import goal_and_knee
from tritongen.probe.questions.comparison import Change, FigureComparison, _figure, _is_decided
from tritongen.probe.questions.goal_and_knee import LoadSearch, _Climber, _too_slow
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import LevelResult, WantedPrecision
from tritongen.probe.workload import Load, parse_goals
from tritongen.queueing import ClosedLoop, OpenLoop

Measured = list[tuple[str, float, float]]


class FakeRun:
    """Measures on a virtual engine, and ends after so many levels."""

    def __init__(self, service: Callable[[], object], ends: int = 99, **ending: bool) -> None:
        conditions = Conditions(budget_s=2.0, least_s=1.0, precision=WantedPrecision(width=0.2))
        self.request = SimpleNamespace(conditions=conditions)
        self.measured: Measured = []
        self._service, self._ends, self._ending = service, ends, ending

    @property
    def over(self) -> bool:
        return len(self.measured) >= self._ends and not self._ending

    def measure(self, _prober: object, load: Load, conditions: Conditions) -> SimpleNamespace:
        self.measured.append((load.kind, load.value, conditions.budget_s))
        level = virtual_level(self._service(), load, conditions)
        ended = len(self.measured) >= self._ends
        state = {"interrupted": False, "gone": False}
        state |= dict.fromkeys(self._ending, ended)
        return SimpleNamespace(results=[level], **state)


def climber(service: Callable[[], object], ends: int = 99, **ending: bool) -> _Climber:
    return _Climber(FakeRun(service, ends, **ending), None, "m")


def quick() -> object:
    return one_server(0.004)


def test_a_goal_by_rate_begins_at_half_of_one_after_the_other():
    found = climber(quick)
    answer = found.find_goal(LoadSearch(parse_goals("p50<20ms")))
    first, second, *_ = found._run.measured
    assert first[:2] == ("concurrency", 1)
    assert second[0] == "rate"
    assert second[1] == pytest.approx(125.0, rel=0.1)
    assert (answer.question, answer.goal, answer.kind) == ("goal", "p50<20ms", "rate")
    # M/M/1: the median of all times is ln 2 divided by what is left of the rate.
    assert 185.0 < answer.value < 245.0
    assert answer.value < answer.beyond <= answer.value * 1.1
    assert answer.best.load == OpenLoop(answer.value)
    assert answer.capacity_per_s >= answer.best.throughput.value
    assert answer.undecided == ""


def test_a_goal_by_concurrency_begins_where_it_is_asked_to_and_ends_at_the_most():
    found = climber(lambda: constant(0.01))
    answer = found.find_goal(LoadSearch(parse_goals("p50<20ms"), True, 2, 8))
    loads = [one[:2] for one in found._run.measured]
    assert loads[0] == ("concurrency", 2)
    assert {kind for kind, _ in loads} == {"concurrency"}
    assert max(value for _, value in loads) == 8
    assert (answer.kind, answer.value, answer.beyond) == ("concurrency", 8, None)
    assert climber(quick).find_goal(LoadSearch(parse_goals("p50<4us"), True)).value is None


def test_a_goal_that_one_request_misses_is_answered_at_once():
    found = climber(lambda: constant(0.03))
    answer = found.find_goal(LoadSearch(parse_goals("p50<20ms")))
    assert [one[:2] for one in found._run.measured] == [("concurrency", 1)]
    assert (answer.value, answer.best) == (None, None)


def test_a_stated_first_rate_needs_no_look():
    found = climber(lambda: constant(0.001))
    found.find_goal(LoadSearch(parse_goals("p50<20ms"), first=50.0, most=60.0))
    assert found._run.measured[0][:2] == ("rate", 50.0)
    assert max(one[1] for one in found._run.measured) <= 60.0


@pytest.mark.parametrize("ending", [{}, {"interrupted": True}, {"gone": True}])
def test_what_ended_is_answered_with_what_is_known(ending):
    found = climber(lambda: constant(0.01), 2, **ending)
    answer = found.find_goal(LoadSearch(parse_goals("p50<20ms"), True, 1))
    assert len(found._run.measured) == 2
    assert answer.value == (2 if not ending else 1)
    stopped = climber(lambda: constant(0.01), 1, **ending).find_knee(LoadSearch())
    assert stopped.value == (1 if not ending else None)


def test_a_goal_that_needs_more_answers_than_there_is_time_for_is_not_decided():
    found = climber(lambda: constant(0.5))
    answer = found.find_goal(LoadSearch(parse_goals("p99.9<2s"), True, 1))
    assert answer.value is None
    assert "--time-budget" in answer.undecided
    assert len(found._run.measured) == 1


def test_a_close_call_is_measured_once_more_and_longer():
    found = climber(lambda: constant(0.01))
    held = found._decide(ClosedLoop(4), parse_goals("p99<20ms"))
    budgets = [one[2] for one in found._run.measured]
    assert held is goal_and_knee.Held.YES
    assert budgets[0] == 2.0
    assert all(4.0 <= one <= 8.0 for one in budgets[1:])


def test_the_knee_of_one_server_is_at_one_or_two():
    answer = climber(quick).find_knee(LoadSearch(most=16))
    assert answer.value in {1, 2}
    assert answer.best.load.value == answer.value
    assert (answer.question, answer.kind, answer.goal) == ("knee", "concurrency", "")


def test_why_a_level_could_not_decide():
    assert _too_slow(ClosedLoop(2), 900, float("inf")).endswith("nothing was answered")
    told = _too_slow(OpenLoop(5.0), 900, 41.0)
    assert "the goal needs 900 answers, which take 41 s" in told
    assert "--time-budget 11s would allow that" in told


def compared(low: float, high: float, change: Change) -> FigureComparison:
    ratio = Interval((low + high) / 2, low, high) if low else None
    return FigureComparison("m", "rate 1", "throughput", 1.0, 1.0, ratio, change)


@pytest.mark.parametrize(
    ("low", "high", "change", "decided"),
    [
        (0.96, 1.04, Change.SAME, True),
        (0.95, 1.04, Change.SAME, False),
        (0.96, 1.05, Change.SAME, False),
        (0.9, 1.2, Change.SAME, False),
        (1.1, 1.2, Change.BETTER, True),
        (0.5, 0.6, Change.WORSE, True),
        (0.0, 0.0, Change.UNKNOWN, False),
    ],
)
def test_a_comparison_is_decided_where_both_differ_or_are_the_same(low, high, change, decided):
    one, same = compared(low, high, change), compared(0.99, 1.01, Change.SAME)
    assert _is_decided([one, same], 0.05) is decided
    assert _is_decided([same, one], 0.05) is decided
    assert _is_decided([same, same, one], 0.05)


def test_a_figure_of_a_block_is_milliseconds_or_requests_per_second():
    level: LevelResult = a_level(rate=100.0)
    assert _figure(level, "throughput") == pytest.approx(100.0, rel=0.01)
    assert _figure(level, "p50") == pytest.approx(1_500.0, rel=0.02)
    assert _figure(level, "p99") == pytest.approx(1_990.0, rel=0.02)
    empty = a_level(latencies_us=())
    assert _figure(empty, "p50") == 0.0
