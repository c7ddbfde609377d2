"""The race: candidates that could be best are measured in rounds until the winner is clear.

Nothing is remembered but the history of measurements. Every call replays it from the first round,
so that a race that was killed goes on as if it had not been, and the same history always leads to
the same next step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log1p

from tritongen.queueing import ClosedLoop, OpenLoop, Stream
from tritongen.tune.search.arena_test import LATE_SHARE, answer, close, may_matter
from tritongen.tune.search.arms import Arm, Late, RaceState, Status, Verdict
from tritongen.tune.search.judge import MIN_ROUNDS, Judge
from tritongen.tune.search.measurement_records import History, Purpose, Task, elapsed_s
from tritongen.tune.search.predict import OWN_ERROR, Forecast, Predictor
from tritongen.tune.search.search_settings import TuneSettings
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.standings import Samples, Standings, collect, race_gain

# Rounds in which the baseline is measured beside the candidates.
BASELINE_ROUNDS = 3
# Rounds that the first arms should be able to run within the budget.
_EXPECTED_ROUNDS = 4.0
# Arms at first, while the budget lets them and there are so many that differ.
_LEAST_ARMS = 5
_NEAREST_ARMS = 3
_LEAST_MEASURED = 3
# Failures after which a candidate is given up; one may be the machine's.
_FAILURES = 2
# How often others are let in for arms that failed.
_REPLACEMENTS = 2
# Rounds after which the leader's neighbours may enter, and how many.
_EXTENSIONS = (2, 4, 6)
_NEW_NEIGHBOURS = 2


@dataclass(frozen=True, slots=True)
class Race:
    """A race between the candidates of a shortlist.

    Attributes:
        settings: of the tuning run.
        space: for the neighbours of the leader.
        predictor: for their forecasts, and for levels of clients.
        forecasts: the shortlist, best first.
        incumbent: always in the race, so that tuning never makes things worse.
        baseline: measured beside the candidates but never chosen.
        judge: who draws the conclusions.
    """

    settings: TuneSettings
    space: SearchSpace
    predictor: Predictor
    forecasts: Sequence[Forecast]
    incumbent: Candidate | None = None
    baseline: Candidate | None = None
    judge: Judge = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "judge", Judge(self.settings, self.predictor))

    def replay(self, history: History) -> RaceState:
        """The state that a history leads to."""
        samples = collect(history, self.settings.objective, Purpose.RACE)
        state = RaceState(self._entrants(history), Standings({}, {}, 1.0, 1.0))
        while state.verdict is None:
            state.round += 1
            before = tuple(r for r in history if r.task.round < state.round)
            planned = self._round(state, before)
            if not planned:
                state.round -= 1
                state.verdict = self._out_of_time(state)
                break
            done = {
                (r.task.candidate, r.task.purpose) for r in history if r.task.round == state.round
            }
            state.pending = tuple(t for t in planned if (t.candidate, t.purpose) not in done)
            if state.pending:
                break
            self._absorb(state, samples, history)
        return state

    def settled(self, history: History) -> RaceState:
        """The state for those who want results now.

        A candidate that moved on to a number of clients that was not measured yet is seen under
        the best one that was.
        """
        state = self.replay(history)
        samples = collect(history, self.settings.objective, Purpose.RACE)
        moved = False
        for arm in state.arms.values():
            known = [sample for sample in samples.get(arm.candidate, {}).values() if sample]
            if not known or state.standings.rounds(arm.candidate):
                continue
            holding = [sample for sample in known if sample.excess <= 0.0]
            nearest = min(known, key=lambda sample: sample.excess)
            arm.load = max(holding, key=lambda sample: sample.gain, default=nearest).load
            moved = True
        if moved:
            state.standings = self._rank(state, samples)
            if state.late is None:
                state.leader = self.judge.leader(state)
        return state

    def _entrants(self, history: History) -> dict[Candidate, Arm]:
        """The first arms: as many of the shortlist as the budget lets race for some rounds."""
        before = tuple(r for r in history if r.task.round == 0)
        left = self.settings.race_s - elapsed_s(before)
        chosen: list[Forecast] = []
        feasible = any(self.settings.objective.feasible(f.outcome) for f in self.forecasts)
        for forecast in self.forecasts:
            cost = self._cost(forecast, before)
            most = min(self.settings.max_arms, max(2, int(left / (_EXPECTED_ROUNDS * cost))))
            # Where no candidate is expected to do, the nearest must show it. Otherwise a few
            # that are expected to be behind race as well, since predictions err.
            most = most if feasible else min(most, _NEAREST_ARMS)
            wanted = not forecast.reason or len(chosen) < _LEAST_ARMS
            if not (wanted and forecast.simulated) or len(chosen) >= most:
                continue
            if not any(_alike(forecast, other) for other in chosen):
                chosen.append(forecast)
        arms = {f.candidate: Arm(f.candidate, f.load) for f in chosen}
        if self.incumbent is not None and self.incumbent not in arms:
            load = self.predictor.load_for(self.incumbent)
            arms[self.incumbent] = Arm(self.incumbent, load)
        return arms

    def _round(self, state: RaceState, before: History) -> list[Task]:
        """The open round's measurements in random order; none when the budget is spent."""
        running = state.measured_now()
        if not running or state.round > self.settings.max_rounds:
            return []
        tasks = [self._task(arm.candidate, arm.load, state.round, Purpose.RACE) for arm in running]
        if self.baseline is not None and state.round <= BASELINE_ROUNDS:
            load = self.predictor.load_for(self.baseline)
            tasks.append(self._task(self.baseline, load, state.round, Purpose.BASELINE))
        tasks.sort(key=lambda task: self._precedence(state, task))
        left = self.settings.race_s - elapsed_s(before)
        overhead = self._overhead(before)
        if state.round == 1:
            tasks = self._hurried(tasks, left, overhead)
        affordable: list[Task] = []
        for task in tasks:
            left -= task.seconds + overhead
            # However little time there was: the best by prediction, what it would replace, and
            # the baseline are measured.
            if left >= 0.0 or (state.round == 1 and len(affordable) < _LEAST_MEASURED):
                affordable.append(task)
        if state.round > 1 and len(affordable) < min(2, len(tasks)):
            return []
        return Stream(self.settings.seed).child(f"round {state.round}").shuffled(affordable)

    def _hurried(self, tasks: list[Task], left: float, overhead: float) -> list[Task]:
        """The measurements that are taken in any case, shortened where time is short."""
        must = tasks[:_LEAST_MEASURED]
        if not must or sum(task.seconds + overhead for task in must) <= left:
            return tasks
        share = max(self.settings.measure_s, left / len(must) - overhead)
        lengths = [min(task.seconds, share) for task in must]
        hurried = [
            replace(task, seconds=seconds, max_seconds=seconds)
            for task, seconds in zip(must, lengths, strict=True)
        ]
        return hurried + tasks[len(must) :]

    def _precedence(self, state: RaceState, task: Task) -> tuple[int, float]:
        """Who is measured when not all can be: the leader, then the baseline, then the best."""
        first = state.leader or next(iter(state.arms))
        if task.candidate == first and task.purpose is Purpose.RACE:
            return (0, 0.0)
        if task.candidate == self.incumbent and state.round == 1:
            return (0, 1.0)
        if task.purpose is Purpose.BASELINE:
            return (1, 0.0)
        return (2, -state.standings.gain(task.candidate))

    def _task(
        self, candidate: Candidate, load: ClosedLoop | OpenLoop, number: int, purpose: Purpose
    ) -> Task:
        rate = self.predictor.under(candidate, load).outcome.throughput_per_s
        seconds = self.settings.seconds(rate)
        return Task(
            candidate=candidate,
            load=load,
            purpose=purpose,
            round=number,
            seconds=seconds,
            min_requests=self.settings.samples // 2,
            max_seconds=2.0 * seconds,
            rows=self.space.request_rows,
        )

    def _cost(self, forecast: Forecast, before: History) -> float:
        return self.settings.seconds(forecast.outcome.throughput_per_s) + self._overhead(before)

    def _overhead(self, before: History) -> float:
        """Time that a measurement takes beside itself, as seen so far."""
        seen = [record.overhead_s for record in before]
        return sum(seen) / len(seen) if seen else self.settings.switch_s

    def _absorb(self, state: RaceState, samples: Samples, history: History) -> None:
        """Draws the conclusions of a complete round."""
        judge = self.judge
        seen: Samples = {
            candidate: {n: sample for n, sample in rounds.items() if n <= state.round}
            for candidate, rounds in samples.items()
        }
        for arm in state.measured_now():
            rounds = seen.get(arm.candidate, {})
            if state.round in rounds and rounds[state.round] is None:
                _count_failure(arm, history)
        state.standings = self._rank(state, seen)
        if state.late is not None:
            state.verdict = answer(state.late, state, self.settings)
            return
        if judge.adapts:
            moved = [judge.move_level(state, arm) for arm in state.running()]
            if any(moved):
                state.standings = self._rank(state, seen)
        self._replace_failed(state)
        state.leader = judge.leader(state)
        for arm in state.running():
            judge.eliminate(state, arm)
        state.leader = judge.leader(state)
        state.verdict = judge.verdict(state)
        if self._ask_late(state, history):
            state.verdict = None
        elif state.verdict is None and state.round in _EXTENSIONS:
            self._extend(state, history)

    def _ask_late(self, state: RaceState, history: History) -> bool:
        """Opens the question that is asked of the winner alone, when it is time for it."""
        if state.leader is None or state.standings.rounds(state.leader) < MIN_ROUNDS:
            return False
        budget_s = self.settings.race_s
        before = tuple(r for r in history if r.task.round <= state.round)
        spent = elapsed_s(before)
        ended = state.verdict in {Verdict.SEPARATED, Verdict.IMMATERIAL}
        if not ended and (state.verdict is not None or spent < (1.0 - LATE_SHARE) * budget_s):
            return False
        winner = self.judge.tied(state, state.arms)[0]
        challenger = self.space.late(winner)
        calibration, rows = self.predictor.calibration, self.space.request_rows
        cost = self._cost(self.predictor.forecast(winner), before)
        if (
            challenger is None
            or challenger in state.arms
            or state.standings.excess(winner).value > 0.0
            or budget_s - spent < 2.0 * MIN_ROUNDS * cost
            or not may_matter(calibration, winner, rows, self.settings)
        ):
            return False
        verdict, since = state.verdict or Verdict.BUDGET, state.round + 1
        load = state.arms[winner].load
        state.arms[challenger] = Arm(challenger, load, since=since)
        state.late = Late(winner, challenger, verdict, since)
        return True

    def _out_of_time(self, state: RaceState) -> Verdict:
        if state.late is None:
            return Verdict.BUDGET
        return close(state.late, state.arms[state.late.challenger], state.standings)

    def _rank(self, state: RaceState, seen: Samples) -> Standings:
        loads = {arm.candidate: arm.load for arm in state.arms.values()}
        predicted = {
            candidate: race_gain(
                self.settings.objective, self.predictor.under(candidate, load).outcome
            )
            for candidate, load in loads.items()
        }
        return Standings(seen, loads, self.settings.noise, self.settings.confidence, predicted)

    def _replace_failed(self, state: RaceState) -> None:
        """Lets others in when hardly an arm can be measured, other splits of the cores first."""
        arms, running = state.arms.values(), state.running()
        failed = {arm.candidate.split for arm in arms if arm.status is Status.FAILED}
        if not any(state.standings.rounds(arm.candidate) for arm in arms):
            # Who failed once may do better the next time, but there must be a best by then.
            failed, running = {arm.candidate.split for arm in arms if arm.failures}, []
        short = _LEAST_ARMS - len(running)
        if not failed or len(running) > 1 or state.replaced >= _REPLACEMENTS:
            return
        state.replaced += 1
        # Those that were left out by a bound, when there are no others.
        fresh = [f for f in self.forecasts if f.candidate not in state.arms]
        fresh.sort(key=lambda f: (f.candidate.split in failed, not f.simulated))
        for new in fresh[:short]:
            state.arms[new.candidate] = Arm(new.candidate, new.load, since=state.round + 1)

    def _extend(self, state: RaceState, history: History) -> None:
        """Lets neighbours of the leader in, in case the prediction left out something good."""
        if state.leader is None:
            return
        before = tuple(r for r in history if r.task.round <= state.round)
        left = self.settings.race_s - elapsed_s(before)
        base = self.predictor.forecast(state.leader)
        size = len(state.running()) + _NEW_NEIGHBOURS
        if left < MIN_ROUNDS * size * self._cost(base, before):
            return
        objective = self.settings.objective
        slack = log1p(self.settings.margin)
        known = [self.predictor.forecast(candidate) for candidate in state.arms]
        fresh: list[Forecast] = []
        for candidate in self.space.neighbours(state.leader):
            if candidate in state.arms:
                continue
            forecast = self.predictor.forecast(candidate)
            near = objective.shortfall(forecast.outcome) <= self.settings.margin
            same = candidate.split == state.leader.split
            behind = objective.gain(base.outcome) - objective.gain(forecast.outcome)
            good = behind <= (OWN_ERROR if same else 1.0) * slack
            if near and good and not any(_alike(forecast, other) for other in (*known, *fresh)):
                fresh.append(forecast)
        fresh.sort(key=lambda f: objective.rank(f.outcome, f.candidate.simplicity))
        for new in fresh[:_NEW_NEIGHBOURS]:
            state.arms[new.candidate] = Arm(new.candidate, new.load, since=state.round + 1)


def _count_failure(arm: Arm, history: History) -> None:
    arm.failures += 1
    if arm.failures < _FAILURES:
        return
    errors = [
        record.error or "requests failed"
        for record in history
        if record.task.candidate == arm.candidate and record.sound is None
    ]
    arm.status = Status.FAILED
    arm.why = f"could not be measured: {errors[-1]}" if errors else "could not be measured"


def _alike(one: Forecast, other: Forecast) -> bool:
    """Whether two candidates are expected to behave the same: the simpler one stands for both."""
    return (
        one.candidate.split == other.candidate.split
        and one.load == other.load
        and _close(one.outcome.throughput_per_s, other.outcome.throughput_per_s)
        and _close(one.outcome.latency_s, other.outcome.latency_s)
    )


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 0.005 * max(abs(one), abs(other))
