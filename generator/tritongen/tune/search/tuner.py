"""The stepper: history in, next measurements or None out.

A tuning run goes through these phases. *Calibrate*: few short measurements fit the model of the
server. *Predict*: every candidate is bounded or simulated, and those that cannot be best are left
out. *Race*: the others are measured in rounds until one is ahead, the differences do not matter,
the goal turns out to be infeasible, or the time is up. *Sweep*: the choice is measured at rates,
which changes nothing of it.
"""

from dataclasses import dataclass
from enum import StrEnum

from tritongen.queueing import ClosedLoop, OpenLoop, ServiceTimes
from tritongen.tune.search.arms import RaceState, Verdict
from tritongen.tune.search.calibrate import Calibration, calibration_tasks, rate_task
from tritongen.tune.search.measurement_records import History, Purpose, Task, elapsed_s
from tritongen.tune.search.nearest_goals import nearest_goals
from tritongen.tune.search.objective import GoalKind, Objective, Outcome
from tritongen.tune.search.predict import Forecast, Predictor, shortlist
from tritongen.tune.search.race import Race
from tritongen.tune.search.rate_effects import QUICK
from tritongen.tune.search.rate_sweep import capacity, sweep_tasks
from tritongen.tune.search.search_settings import TuneSettings
from tritongen.tune.search.search_space import Candidate, SearchSpace, delay_choices
from tritongen.tune.search.server_fit import fit
from tritongen.tune.search.standings import Interval, Standings, collect

# Share of the budget that calibration may take.
_CALIBRATION_SHARE = 0.35


# The baseline, its load and its standings.
Baseline = tuple[Candidate, ClosedLoop | OpenLoop, Standings]


class Phase(StrEnum):
    """What a tuning run is doing."""

    CALIBRATE = "calibrate"
    RACE = "race"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Step:
    """What to measure next, in this order.

    Attributes:
        phase: why.
        round: of the race, 0 while calibrating; the pass of a sweep.
        tasks: measurements that are missing; each may be recorded as soon as it is done.
        remaining: candidates in the race.
    """

    phase: Phase
    round: int
    tasks: tuple[Task, ...]
    remaining: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The best so far, and how sure it is.

    Attributes:
        candidate: the configuration.
        load: under which it was measured, or would be.
        verdict: how the search ended, None while it goes on.
        throughput: requests per second, None before it was measured.
        latency: seconds at the goal's percentile, None before it was measured.
        feasible: whether the goal's conditions hold as measured (or predicted).
        rounds: measurements behind the numbers.
        tied: candidates without a difference that matters, this one included, simplest first.
        nearest: goals that could be met instead, when this one cannot.
    """

    candidate: Candidate
    load: ClosedLoop | OpenLoop
    verdict: Verdict | None
    throughput: Interval | None
    latency: Interval | None
    feasible: bool
    rounds: int = 0
    tied: tuple[Candidate, ...] = ()
    nearest: tuple[Objective, ...] = ()


class Tuner:
    """Tunes one model for one goal.

    Everything that it knows is the history it is given; what it keeps is a cache of predictions.

    Args:
        settings: goal, budget, seed and thresholds.
        space: legal configurations.
        incumbent: the configuration of today; it always races. None for one thread an instance.
        baseline: measured beside the candidates, never chosen: what the server does by itself.
        prior: service times known from elsewhere, which make calibration shorter.
    """

    def __init__(
        self,
        settings: TuneSettings,
        space: SearchSpace,
        incumbent: Candidate | None = None,
        baseline: Candidate | None = None,
        prior: ServiceTimes | None = None,
    ) -> None:
        self._settings = settings
        self._space = space
        self._incumbent = incumbent or space.one_thread_each
        self._baseline = baseline
        self._prior = prior
        self._cached: tuple[History, Race] | None = None

    def next(self, history: History) -> Step | None:
        """What to measure next, None when the choice stands."""
        missing = self._uncalibrated(history)
        if missing:
            return Step(Phase.CALIBRATE, 0, missing)
        race = self._race(history)
        if race is None:
            return None
        state = race.replay(history)
        if not state.pending:
            return None
        return Step(Phase.RACE, state.round, state.pending, len(state.measured_now()))

    def sweep(self, history: History) -> Step | None:
        """What to measure at rates, once the choice stands; None when that is done."""
        settings, found = self._settings, self.race(history)
        choice = self.best(history)
        if settings.sweep_s <= 0.0 or found is None or choice.throughput is None:
            return None
        candidate = choice.candidate
        most = capacity(found[0].predictor, candidate, choice.load, choice.throughput.value)
        rows = self._space.request_rows
        tasks = sweep_tasks(candidate, most, rows, settings.sweep_s, history)
        return Step(Phase.SWEEP, tasks[0].round, tasks, 1) if tasks else None

    def best(self, history: History) -> Choice:
        """The best so far: as measured, before that as predicted, before that the incumbent."""
        history = _searched(history)
        race = None if self._uncalibrated(history) else self._race(history)
        if race is None:
            failed = Verdict.FAILED if not self._uncalibrated(history) else None
            load = _plain_load(self._settings.objective)
            return Choice(self._incumbent, load, failed, None, None, feasible=False)
        state = race.settled(history)
        if state.leader is None:
            return self._predicted(race, state)
        return self._measured(race, state)

    def race(self, history: History) -> tuple[Race, RaceState] | None:
        """The race and its state for reports; None before calibration is done."""
        history = _searched(history)
        race = None if self._uncalibrated(history) else self._race(history)
        return None if race is None else (race, race.settled(history))

    def calibration(self, history: History) -> Calibration | None:
        """The server's model with all care, to be kept; None when nothing could be measured."""
        calibrated = tuple(r for r in history if r.task.purpose is Purpose.CALIBRATE)
        return fit(calibrated, self._settings.cores, self._prior)

    def baseline(self, history: History) -> Baseline | None:
        """The baseline, its load and its standings; None before it was measured."""
        samples = collect(history, self._settings.objective, Purpose.BASELINE)
        if self._baseline is None:
            return None
        loads = [s.load for s in samples.get(self._baseline, {}).values() if s is not None]
        if not loads:
            return None
        load = loads[-1]
        settings = self._settings
        standings = Standings(samples, {self._baseline: load}, settings.noise, settings.confidence)
        return self._baseline, load, standings

    def _uncalibrated(self, history: History) -> tuple[Task, ...]:
        """Calibration measurements that are missing, within calibration's share of the budget."""
        done = {r.task for r in history if r.task.purpose is Purpose.CALIBRATE}
        raced = any(r.task.purpose is not Purpose.CALIBRATE for r in history)
        spent = elapsed_s(tuple(r for r in history if r.task.purpose is Purpose.CALIBRATE))
        if raced or spent > _CALIBRATION_SHARE * self._settings.budget_s:
            return ()
        seconds = min(1.0, 0.02 * self._settings.budget_s)
        tasks = calibration_tasks(self._space, self._prior, seconds)
        missing = tuple(task for task in tasks if task not in done)
        if missing:
            return missing
        at_rate = rate_task(history, self._space.request_rows, seconds)
        return () if at_rate is None else (at_rate,)

    def _race(self, history: History) -> Race | None:
        """The race that the calibration leads to, None when nothing could be measured."""
        calibrated = tuple(r for r in history if r.task.purpose is Purpose.CALIBRATE)
        if self._cached is not None and self._cached[0] == calibrated:
            return self._cached[1]
        settings, rows = self._settings, self._space.request_rows
        calibration = fit(calibrated, settings.cores, self._prior, QUICK)
        if calibration is None:
            return None
        predictor = Predictor(
            calibration, settings.objective, rows, settings.max_concurrency, settings.seed
        )
        service_s = calibration.service.alone(rows, 1)
        delays = delay_choices(service_s, settings.objective.limit_s)
        space = self._space.with_delays(delays)
        forecasts = shortlist(predictor, space.candidates(), settings.margin)
        race = Race(settings, space, predictor, forecasts, self._incumbent, self._baseline)
        self._cached = (calibrated, race)
        return race

    def _predicted(self, race: Race, state: RaceState) -> Choice:
        """Before anything was measured, or when nothing could be."""
        failed = {arm.candidate.split for arm in state.arms.values() if arm.failures}
        sound = [one for one in race.forecasts if one.candidate.split not in failed]
        first: Forecast = (sound or race.forecasts)[0]
        feasible = self._settings.objective.feasible(first.outcome)
        return Choice(first.candidate, first.load, state.verdict, None, None, feasible)

    def _measured(self, race: Race, state: RaceState) -> Choice:
        tied = state.chosen(race.judge.tied(state, state.arms))
        candidate = tied[0]
        standings = state.standings
        feasible = standings.excess(candidate).value <= 0.0
        throughput, latency = standings.throughput(candidate), standings.latency(candidate)
        nearest: tuple[Objective, ...] = ()
        if not feasible:
            measured = Outcome(throughput.value, latency.value, candidate.total_threads)
            load = state.arms[candidate].load
            nearest = nearest_goals(race.predictor, candidate, load, measured)
        return Choice(
            candidate,
            state.arms[candidate].load,
            state.verdict,
            throughput,
            latency,
            feasible,
            standings.rounds(candidate),
            tied,
            nearest,
        )


def _searched(history: History) -> History:
    """What the choice rests on: the sweep comes after it, and changes nothing of it."""
    return tuple(record for record in history if record.task.purpose is not Purpose.SWEEP)


def _plain_load(objective: Objective) -> ClosedLoop | OpenLoop:
    if objective.rate_per_s is not None:
        return OpenLoop(objective.rate_per_s)
    clients = objective.concurrency or (1 if objective.kind is not GoalKind.THROUGHPUT else 2)
    return ClosedLoop(clients)
