"""The stepper: told of measurements, it says which ones to take next.

A tuning run goes through these phases. *Calibrate*: few short measurements fit the model of the
server. *Predict*: every candidate is bounded or simulated, and those that cannot be best are left
out. *Race*: the others are measured in rounds until one is ahead, the differences do not matter,
the goal turns out to be infeasible, or the time is up. *Pair*: the winner is held against what is
there and what `build` gives, and stands only where it is better. *Sweep*: the choice is measured at
rates, which changes nothing of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tritongen.queueing import ClosedLoop, Loop, OpenLoop, ServiceTimes
from tritongen.tune.search.calibrate import calibration_tasks, fit, rate_task
from tritongen.tune.search.final_pairs import Rivals, pair_tasks, settled
from tritongen.tune.search.judge import RaceState, RaceVerdict, Status
from tritongen.tune.search.measurement_records import History, Purpose, Task, TaskRecord, elapsed_s
from tritongen.tune.search.objective import GoalKind, Objective, Performance, TuneSettings
from tritongen.tune.search.predict import Forecast, Predictor, nearest_goals, shortlist
from tritongen.tune.search.race import Race
from tritongen.tune.search.rate_sweep import capacity, sweep_tasks
from tritongen.tune.search.search_space import Candidate, SearchSpace, delay_choices
from tritongen.tune.search.server_model import QUICK, Calibration
from tritongen.tune.search.standings import Measurement, Samples, Standings, collect

# Share of the budget that calibration may take.
_CALIBRATION_SHARE = 0.35


class Phase(StrEnum):
    """What a tuning run is doing."""

    CALIBRATE = "calibrate"
    RACE = "race"
    PAIR = "pair"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class TunerStep:
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
class TuningChoice:
    """The best so far, and how sure it is.

    Attributes:
        candidate: the configuration.
        load: under which it was measured, or would be.
        verdict: how the search ended, None while it goes on.
        measured: at the goal's percentile, None before it was measured.
        feasible: whether the goal's conditions hold as measured (or predicted).
        tied: candidates without a difference that matters, this one included, simplest first.
        nearest: goals that could be met instead, when this one cannot.
        raced: who won the race where it is not served, since it is not better; else None.
    """

    candidate: Candidate
    load: Loop
    verdict: RaceVerdict | None
    measured: Measurement | None
    feasible: bool
    tied: tuple[Candidate, ...] = ()
    nearest: tuple[Objective, ...] = ()
    raced: Candidate | None = None


class Tuner:
    """Tunes one model for one goal: `next` says what to measure, `take` is told what came of it.

    Args:
        settings: goal, budget, seed and thresholds.
        space: legal configurations.
        incumbent: the configuration of today; it always races. None for one thread an instance.
        baseline: measured beside the candidates, never chosen: what the server does by itself.
        prior: service times known from elsewhere, which make calibration shorter.
        history: of an earlier run that was killed; the search goes on as if it had not been.
        rivals: whom the winner must be better than; None takes the winner as it is.

    Attributes:
        history: what was measured.
        objective: the goal.
    """

    def __init__(
        self,
        settings: TuneSettings,
        space: SearchSpace,
        incumbent: Candidate | None = None,
        baseline: Candidate | None = None,
        prior: ServiceTimes | None = None,
        history: History = (),
        rivals: Rivals | None = None,
    ) -> None:
        self._settings, self._rivals = settings, rivals
        self.objective = settings.objective
        self.space = space
        self._incumbent = incumbent or space.one_thread_each
        self._baseline = baseline
        self._prior = prior
        self.history: History = ()
        # Until the first measurement of the race there may be more calibration to do.
        self._raced = False
        self._race: Race | None = None
        for record in history:
            self.take(record)

    def take(self, record: TaskRecord) -> None:
        """Learn of one measurement."""
        self.history = (*self.history, record)
        if record.task.purpose in {Purpose.RACE, Purpose.BASELINE}:
            self._raced = True
            race = self.race
            if race is not None:
                race.take(record)

    def next(self) -> TunerStep | None:
        """What to measure next, None when the choice stands."""
        missing = self._uncalibrated()
        if missing:
            return TunerStep(Phase.CALIBRATE, 0, missing)
        race = self.race
        if race is None or not race.state.pending:
            return None
        state = race.state
        return TunerStep(Phase.RACE, state.round, state.pending, len(state.measured_now()))

    def over(self, elapsed_s: float) -> bool:
        """Whether the time is up.

        Today's configuration, the baseline and a candidate that can be measured are measured in any
        case: nothing is replaced by what it was not compared with. To find one that can, there is
        the same time once more.

        Args:
            elapsed_s: tuning time so far.
        """
        aims = {Purpose.RACE, Purpose.BASELINE}
        raced = [one for one in self.history if one.task.purpose in aims]
        done = {(one.task.purpose, one.task.candidate) for one in raced}
        wanted = {(Purpose.RACE, self._incumbent), (Purpose.BASELINE, self._baseline)}
        found = any(one.task.purpose is Purpose.RACE and one.sound for one in raced)
        return wanted <= done and elapsed_s >= self._settings.race_s * (1.0 if found else 2.0)

    def pairs(self) -> TunerStep | None:
        """What to measure to hold the winner against what is there; None when that is done."""
        winner, rivals = self._winner(), self._rivals
        if rivals is None or winner.measured is None:
            return None
        rows, seconds = self.space.request_rows, self._settings.pairs_s
        chosen, objective = winner.candidate, self.objective
        tasks = pair_tasks(chosen, rivals, objective, rows, seconds, self.history)
        return TunerStep(Phase.PAIR, tasks[0].round, tasks, len(tasks)) if tasks else None

    def sweep(self) -> TunerStep | None:
        """What to measure at rates, once the choice stands; None when that is done."""
        race, choice, seconds = self.race, self.best(), self._settings.sweep_s
        if seconds <= 0.0 or race is None or choice.measured is None:
            return None
        candidate, seen = choice.candidate, choice.measured.throughput.value
        most = capacity(race.predictor, candidate, choice.load, seen)
        rows = self.space.request_rows
        tasks = sweep_tasks(candidate, most, rows, seconds, self.history)
        return TunerStep(Phase.SWEEP, tasks[0].round, tasks, 1) if tasks else None

    def best(self) -> TuningChoice:
        """The best so far: the race's winner, or what it is no better than."""
        winner, rivals, race = self._winner(), self._rivals, self.race
        if rivals is None or race is None or winner.measured is None:
            return winner
        chosen = settled(winner.candidate, rivals, self.objective, self.history)
        state = race.settled()
        found = state.standings.measurement(chosen)
        holds = state.standings.excess(chosen).value <= 0.0
        if chosen == winner.candidate or found is None or (winner.feasible and not holds):
            return winner
        load, verdict = state.arms[chosen].load, winner.verdict
        raced, nearest = winner.candidate, winner.nearest
        return TuningChoice(chosen, load, verdict, found, holds, (chosen,), nearest, raced)

    def _winner(self) -> TuningChoice:
        """The race's: as measured, before that as predicted, before that the incumbent."""
        race = self.race
        if race is None:
            failed = None if self._uncalibrated() else RaceVerdict.FAILED
            return TuningChoice(self._incumbent, _plain_load(self.objective), failed, None, False)
        state = race.settled()
        if state.leader is None:
            return self._predicted(race, state)
        return self._measured(race, state)

    @property
    def race(self) -> Race | None:
        """The race; None before calibration is done, and where nothing could be measured."""
        if self._race is None and not self._uncalibrated():
            self._race = self._begun()
        return self._race

    def calibration(self) -> Calibration | None:
        """The server's model with all care, to be kept; None when nothing could be measured."""
        return fit(self._calibrated(), self._settings.cores, self._prior)

    def baseline(self, objective: Objective | None = None) -> Measurement | None:
        """The baseline as measured; None before it was.

        Args:
            objective: with the percentile of the latency, None for the goal's own.
        """
        if self._baseline is None:
            return None
        samples = collect(self.history, objective or self.objective, Purpose.BASELINE)
        loads = [s.load for s in samples.get(self._baseline, {}).values() if s is not None]
        return self._summary(samples, self._baseline, loads[-1]) if loads else None

    def measurement(self, choice: TuningChoice, objective: Objective) -> Measurement | None:
        """A choice as measured, at another percentile than the goal's; None before it was."""
        samples = collect(self.history, objective, Purpose.RACE)
        return self._summary(samples, choice.candidate, choice.load)

    def _summary(self, samples: Samples, candidate: Candidate, load: Loop) -> Measurement | None:
        settings = self._settings
        standings = Standings(samples, {candidate: load}, settings.noise, settings.confidence)
        return standings.measurement(candidate)

    def _calibrated(self) -> History:
        return tuple(r for r in self.history if r.task.purpose is Purpose.CALIBRATE)

    def _uncalibrated(self) -> tuple[Task, ...]:
        """Calibration measurements that are missing, within calibration's share of the budget."""
        budget_s, calibrated = self._settings.budget_s, self._calibrated()
        if self._raced or elapsed_s(calibrated) > _CALIBRATION_SHARE * budget_s:
            return ()
        done = {record.task for record in calibrated}
        seconds = min(1.0, 0.02 * budget_s)
        tasks = calibration_tasks(self.space, self._prior, seconds)
        missing = tuple(task for task in tasks if task not in done)
        if missing:
            return missing
        at_rate = rate_task(calibrated, self.space.request_rows, seconds)
        return () if at_rate is None else (at_rate,)

    def _begun(self) -> Race | None:
        """The race that the calibration leads to, None when nothing could be measured."""
        settings, rows, calibrated = self._settings, self.space.request_rows, self._calibrated()
        calibration = fit(calibrated, settings.cores, self._prior, QUICK)
        if calibration is None:
            return None
        predictor = Predictor(
            calibration, self.objective, rows, settings.max_concurrency, settings.seed
        )
        service_s = calibration.service.alone(rows, 1)
        space = self.space.with_delays(delay_choices(service_s, self.objective.limit_s))
        forecasts = shortlist(predictor, space.candidates(), settings.margin)
        arms = self._incumbent, self._baseline
        rivals = (self._rivals.built,) if self._rivals is not None else ()
        return Race(settings, space, predictor, forecasts, calibrated, *arms, rivals)

    def _predicted(self, race: Race, state: RaceState) -> TuningChoice:
        """Before anything was measured, or when nothing could be."""
        failed = {arm.candidate.split for arm in state.arms.values() if arm.failures}
        sound = [one for one in race.forecasts if one.candidate.split not in failed]
        first: Forecast = (sound or race.forecasts)[0]
        feasible = self.objective.feasible(first.outcome)
        return TuningChoice(first.candidate, first.load, state.verdict, None, feasible)

    def _measured(self, race: Race, state: RaceState) -> TuningChoice:
        tied = state.chosen(race.judge.tied(state, state.arms))
        candidate = tied[0]
        load, found = state.arms[candidate].load, state.standings.measurement(candidate)
        feasible = state.standings.excess(candidate).value <= 0.0
        nearest: tuple[Objective, ...] = ()
        if not feasible and found is not None:
            measured = Performance(
                found.throughput.value, found.latency_s.value, candidate.total_threads
            )
            nearest = nearest_goals(race.predictor, candidate, load, measured)
        return TuningChoice(candidate, load, state.verdict, found, feasible, tied, nearest)


def _plain_load(objective: Objective) -> Loop:
    if objective.rate_per_s is not None:
        return OpenLoop(objective.rate_per_s)
    clients = objective.concurrency or (1 if objective.kind is not GoalKind.THROUGHPUT else 2)
    return ClosedLoop(clients)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One candidate of a tuning run.

    Attributes:
        candidate: the configuration.
        load: under which it was measured or predicted.
        fate: ``best``, ``tied``, ``running``, ``behind``, ``infeasible``, ``failed``,
            ``baseline`` or ``predicted`` (not measured).
        predicted: expected outcome; a bound where it was not worth a simulation. None for the
            baseline.
        measured: at the goal's percentile, None when it was not.
        why: why it lost, empty for the best.
    """

    candidate: Candidate
    load: Loop
    fate: str
    predicted: Performance | None
    measured: Measurement | None = None
    why: str = ""


# Why a search ended before it was decided, by what ended it.
_ENDS = {
    "": "the time was up",
    "interrupted": "tuning was interrupted",
    "stopped": "tuning stopped early",
}


def evaluated(tuner: Tuner, ended: str = "") -> tuple[Evaluated, ...]:
    """Every candidate: the best, the others that raced, the baseline, those only predicted.

    Args:
        tuner: that searched.
        ended: ``interrupted`` or ``stopped``; empty when the search ended by itself.
    """
    race = tuner.race
    if race is None:
        return ()
    state, choice = race.settled(), tuner.best()
    rows = []
    for arm in state.arms.values():
        found = state.standings.measurement(arm.candidate)
        fate = arm.status.value
        if arm.candidate == choice.candidate:
            fate = "best"
        elif arm.candidate in choice.tied and arm.status in {Status.RUNNING, Status.BEHIND}:
            fate = "tied"
        predicted = race.predictor.under(arm.candidate, arm.load).outcome
        why = _why(arm.why, fate, choice.candidate, _ENDS[ended], measured=found is not None)
        if arm.candidate == choice.raced:
            fate, why = "tied", f"not surely better than {choice.candidate.key} for the clients"
        rows.append(Evaluated(arm.candidate, arm.load, fate, predicted, found, why))
    rows.sort(key=lambda row: (row.fate != "best", -state.standings.gain(row.candidate)))
    unraced = f"{_ENDS[ended]} before it raced" if ended else "no time to race"
    rows += [
        Evaluated(f.candidate, f.load, "predicted", f.outcome, why=f.reason or unraced)
        for f in race.forecasts
        if f.candidate not in state.arms
    ]
    baseline = tuner.baseline()
    if race.baseline is not None and baseline is not None:
        rows.append(Evaluated(race.baseline, baseline.load, "baseline", None, baseline))
    return tuple(rows)


def pareto(rows: Sequence[Evaluated]) -> tuple[Evaluated, ...]:
    """Measured candidates that none beats in throughput and latency at once, by latency."""
    points = [
        (row.measured.latency_s.value, -row.measured.throughput.value, index)
        for index, row in enumerate(rows)
        if row.measured is not None and row.fate != "baseline"
    ]
    front, best = [], math.inf
    for _, throughput, index in sorted(points):
        if throughput < best:
            best = throughput
            front.append(rows[index])
    return tuple(front)


def _why(why: str, fate: str, best: Candidate, end: str, *, measured: bool) -> str:
    if fate == "best":
        return ""
    if fate == "tied":
        return f"no difference to {best.key} that matters, which is simpler"
    if why or fate != "running":
        return why
    return f"not separated when {end}" if measured else f"{end} before its turn"
