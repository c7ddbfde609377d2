"""`probe --goal` and `probe --find knee`: levels chosen by what the earlier ones gave."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.probe.level import Conditions
from tritongen.probe.probe_models import ProbeRun
from tritongen.probe.probe_request import ModelChoice, ProbeReport, ProbeRequest, Tell
from tritongen.probe.prober import Prober
from tritongen.probe.questions.ladder import (
    Held,
    LadderStep,
    bounds,
    holds,
    holds_by_estimate,
    knee_of,
    next_concurrency,
    next_for_knee,
    next_rate,
    requests_needed,
    step_of,
)
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.probe.workload import LevelGoal, Load, describe
from tritongen.queueing import ClosedLoop, OpenLoop

# Levels of one search, how close it comes to the greatest rate, and the greatest loads. Chosen.
_MAX_STEPS = 24
_RESOLUTION = 0.05
_MAX_RATE_PER_S = 1_000_000.0
_MAX_CONCURRENCY = 1024
_MAX_FIRST_LOOK_S = 3.0
# A level whose interval holds the goal's limit is measured again for so much longer, and one
# with too few requests for as long as they need, but not for more than so many budgets.
_LONGER = 2.0
_MAX_LONGER = 4.0
_SPARE = 1.15


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What a search found for one model.

    Attributes:
        model: its name.
        question: ``goal`` or ``knee``.
        goal: as the user wrote it; empty for the knee.
        kind: ``rate`` or ``concurrency``.
        value: greatest load that holds the goal, or the knee; None when no load does.
        beyond: least load that was seen to fail, None when none did.
        best: the level at that value, None without one.
        capacity_per_s: greatest throughput seen.
        undecided: why the search ended before it was sure, empty when it was.
    """

    model: str
    question: str
    goal: str
    kind: str
    value: float | None
    beyond: float | None
    best: LevelResult | None
    capacity_per_s: float
    undecided: str = ""


@dataclass(frozen=True, slots=True)
class LoadSearch:
    """What to look for.

    Attributes:
        goals: conditions, empty for the knee.
        by_concurrency: search over concurrency instead of rate.
        first: load to begin with, None to take it from a first look.
        most: greatest load to try, None for the tool's own limit.
    """

    goals: tuple[LevelGoal, ...] = ()
    by_concurrency: bool = False
    first: float | None = None
    most: float | None = None


def search(
    project: Path, request: ProbeRequest, wanted: LoadSearch, tell: Tell | None = None
) -> tuple[ProbeReport, list[SearchAnswer]]:
    """Answer the question for every model in turn; what was measured is never lost.

    Raises:
        TritongenError: nothing could be measured at all.
    """
    answers: list[SearchAnswer] = []
    with ProbeRun.on_server(project, request, tell) as run:
        run.each_in_turn(
            run.choices(), lambda choice: answers.append(_search_model(run, choice, wanted))
        )
        return run.report, answers


def _search_model(run: ProbeRun, choice: ModelChoice, wanted: LoadSearch) -> SearchAnswer:
    with run.prober((choice,)) as prober:
        prober.check()
        climber = _Climber(run, prober, choice.name)
        return climber.find_goal(wanted) if wanted.goals else climber.find_knee(wanted)


def _too_slow(load: Load, needed: int, seconds: float) -> str:
    """Why a level could not decide, and what would."""
    if not math.isfinite(seconds):
        return f"{describe(load)}: nothing was answered"
    budget = math.ceil(seconds / _MAX_LONGER)
    return (
        f"{describe(load)}: the goal needs {needed} answers, which take {seconds:.0f} s; "
        f"--time-budget {budget}s would allow that"
    )


class _Climber:
    """Measures levels of one model as a stepper asks for them."""

    def __init__(self, run: ProbeRun, prober: Prober, model: str) -> None:
        self._run, self._prober, self._model = run, prober, model
        self._conditions = run.request.conditions
        self._levels: list[LevelResult] = []
        self._undecided = ""

    def _measure(self, load: Load, conditions: Conditions) -> LevelResult | None:
        """One level; None once there is no point in going on."""
        if self._run.over:
            return None
        outcome = self._run.measure(self._prober, load, conditions)
        self._levels += outcome.results
        return None if outcome.interrupted or outcome.gone else outcome.results[0]

    def find_goal(self, wanted: LoadSearch) -> SearchAnswer:
        """The greatest load that holds the goals."""
        history: list[LadderStep] = []
        first = wanted.first or (1 if wanted.by_concurrency else self._first_rate(wanted.goals))
        while first and len(history) < _MAX_STEPS:
            value = self._next_value(history, wanted, first)
            if value is None:
                break
            # Three figures are enough for a rate.
            load: Load = OpenLoop(float(f"{value:.3g}"))
            if wanted.by_concurrency:
                load = ClosedLoop(round(value))
            held = self._decide(load, wanted.goals)
            if held is None or held is Held.UNDECIDED:
                break
            history.append(LadderStep(load.value, held))
        good, bad = bounds(history)
        goal = ",".join(goal.text for goal in wanted.goals)
        kind = "concurrency" if wanted.by_concurrency else "rate"
        return self._answer("goal", good, goal=goal, kind=kind, beyond=bad)

    def _next_value(
        self, history: Sequence[LadderStep], wanted: LoadSearch, first: float
    ) -> float | None:
        if wanted.by_concurrency:
            return next_concurrency(history, round(first), round(wanted.most or _MAX_CONCURRENCY))
        return next_rate(history, first, wanted.most or _MAX_RATE_PER_S, _RESOLUTION)

    def _first_rate(self, goals: Sequence[LevelGoal]) -> float:
        """Half of what one request after the other reaches; 0 when even that misses the goal."""
        budget = min(self._conditions.budget_s, _MAX_FIRST_LOOK_S)
        level = self._measure(ClosedLoop(1), replace(self._conditions, budget_s=budget))
        if level is None or level.throughput is None or holds(level, goals) is Held.NO:
            return 0.0
        return max(level.throughput.value / 2.0, 0.1)

    def _decide(self, load: Load, goals: Sequence[LevelGoal]) -> Held | None:
        """Whether a load holds the goals; a close call is measured once more, longer."""
        level = self._measure(load, self._conditions)
        if level is None:
            return None
        held = holds(level, goals)
        if held is not Held.UNDECIDED:
            return held
        budget = self._conditions.budget_s
        needed = requests_needed(goals, self._conditions.precision.confidence)
        served = level.throughput.value if level.throughput else 0.0
        rate = load.rate_per_s if isinstance(load, OpenLoop) else served
        seconds = max(_LONGER * budget, _SPARE * needed / rate if rate else math.inf)
        if seconds > _MAX_LONGER * budget:
            self._undecided = _too_slow(load, needed, seconds)
            return Held.UNDECIDED
        longer = replace(self._conditions, budget_s=seconds, least_s=seconds / _LONGER)
        again = self._measure(load, longer)
        if again is None:
            return None
        held = holds(again, goals)
        if held is Held.UNDECIDED:
            held = holds_by_estimate(again, goals)
        if held is Held.UNDECIDED:
            self._undecided = _too_slow(load, needed, seconds)
        return held

    def find_knee(self, wanted: LoadSearch) -> SearchAnswer:
        """The concurrency at which throughput divided by latency is greatest."""
        history: list[LadderStep] = []
        most = round(wanted.most or _MAX_CONCURRENCY)
        while len(history) < _MAX_STEPS:
            value = next_for_knee(history, most)
            if value is None:
                break
            level = self._measure(ClosedLoop(value), self._conditions)
            if level is None:
                break
            history.append(step_of(level))
        return self._answer("knee", knee_of(history).value if history else None)

    def _answer(
        self,
        question: str,
        value: float | None,
        *,
        goal: str = "",
        kind: str = "concurrency",
        beyond: float | None = None,
    ) -> SearchAnswer:
        """A load, with the last level that was measured there."""
        at = (level for level in reversed(self._levels) if level.load.value == value)
        rates = (level.throughput.value for level in self._levels if level.throughput)
        best, capacity = next(at, None), max(rates, default=0.0)
        return SearchAnswer(
            self._model, question, goal, kind, value, beyond, best, capacity, self._undecided
        )
