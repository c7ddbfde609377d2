"""The race: candidates that could be best are measured in rounds until the winner is clear.

A race is told of one measurement after the other; a complete round leads to conclusions and to the
next round. The same measurements always lead to the same next step, so that a race that was killed
goes on as if it had not been: by being told again of what was measured before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import log1p

from tritongen.queueing import Loop, Stream
from tritongen.tune.search.judge import (
    ARENA_TEST_SHARE,
    MIN_ROUNDS,
    ArenaTest,
    Arm,
    Judge,
    RaceState,
    RaceVerdict,
    Status,
    answer,
    close,
    may_matter,
)
from tritongen.tune.search.measurement_records import History, Purpose, Task, TaskRecord, elapsed_s
from tritongen.tune.search.objective import TuneSettings
from tritongen.tune.search.predict import OWN_ERROR, Forecast, Predictor
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.standings import Samples, Standings, add_sample, race_gain

# Rounds in which the baseline is measured beside the candidates.
BASELINE_ROUNDS = 3
# Rounds that the first arms should be able to run within the budget.
_EXPECTED_ROUNDS = 4.0
# Arms at first, while the budget lets them and there are so many that differ.
_MIN_ARMS = 5
_NEAREST_ARMS = 3
_MIN_MEASURED = 3
# Failures after which a candidate is given up; one may be the machine's.
_FAILURES = 2
# How often others are let in for arms that failed.
_REPLACEMENTS = 2
# Rounds after which the leader's neighbours may enter, and how many.
_EXTENSIONS = (2, 4, 6)
_NEW_NEIGHBOURS = 2


class Race:
    """A race between the candidates of a shortlist.

    Args:
        settings: of the tuning run.
        space: for the neighbours of the leader.
        predictor: for their forecasts, and for levels of clients.
        forecasts: the shortlist, best first.
        calibrated: the measurements before the race; what they took of the time counts.
        incumbent: always in the race, so that tuning never makes things worse.
        rivals: further ones that are always in it.
        baseline: measured beside the candidates but never chosen.

    Attributes:
        judge: who draws the conclusions.
        state: after the measurements so far.
    """

    def __init__(
        self,
        settings: TuneSettings,
        space: SearchSpace,
        predictor: Predictor,
        forecasts: Sequence[Forecast],
        calibrated: History = (),
        incumbent: Candidate | None = None,
        baseline: Candidate | None = None,
        rivals: Sequence[Candidate] = (),
    ) -> None:
        self._rivals = rivals
        self.settings, self.space, self.predictor = settings, space, predictor
        self.forecasts, self.incumbent, self.baseline = forecasts, incumbent, baseline
        self.judge = Judge(settings, predictor)
        # Of calibration and of complete rounds, and those of the open round.
        self._before, self._open = list(calibrated), list[TaskRecord]()
        self._samples: Samples = {}
        self.state = RaceState(self._entrants(), Standings({}, {}, 1.0, 1.0))
        self._open_round()

    def take(self, record: TaskRecord) -> None:
        """Learn of one measurement; the last one of a round ends the round."""
        state, task = self.state, record.task
        self._open.append(record)
        if task.purpose is Purpose.RACE:
            add_sample(self._samples, record, self.settings.objective)
        done = (task.candidate, task.purpose)
        state.pending = tuple(t for t in state.pending if (t.candidate, t.purpose) != done)
        if state.pending or state.verdict is not None:
            return
        self._before += self._open
        self._open.clear()
        self._absorb(state)
        if state.verdict is None:
            self._open_round()

    def settled(self) -> RaceState:
        """The state for those who want results now.

        A candidate that moved on to a number of clients that was not measured yet is seen under
        the best one that was.
        """
        arms = {candidate: replace(arm) for candidate, arm in self.state.arms.items()}
        state = replace(self.state, arms=arms)
        moved = False
        for arm in state.arms.values():
            known = [sample for sample in self._samples.get(arm.candidate, {}).values() if sample]
            if not known or state.standings.rounds(arm.candidate):
                continue
            holding = [sample for sample in known if sample.excess <= 0.0]
            nearest = min(known, key=lambda sample: sample.excess)
            arm.load = max(holding, key=lambda sample: sample.gain, default=nearest).load
            moved = True
        if moved:
            state.standings = self._rank(state)
            if state.arena_test is None:
                state.leader = self.judge.leader(state)
        return state

    def _entrants(self) -> dict[Candidate, Arm]:
        """The first arms: as many of the shortlist as the budget lets race for some rounds."""
        left = self._left_s()
        chosen: list[Forecast] = []
        feasible = any(self.settings.objective.feasible(f.outcome) for f in self.forecasts)
        for forecast in self.forecasts:
            cost = self._cost(forecast)
            most = min(self.settings.max_arms, max(2, int(left / (_EXPECTED_ROUNDS * cost))))
            # Where no candidate is expected to do, the nearest must show it. Otherwise a few
            # that are expected to be behind race as well, since predictions err.
            most = most if feasible else min(most, _NEAREST_ARMS)
            wanted = not forecast.reason or len(chosen) < _MIN_ARMS
            if not (wanted and forecast.simulated) or len(chosen) >= most:
                continue
            if not any(_alike(forecast, other) for other in chosen):
                chosen.append(forecast)
        arms = {f.candidate: Arm(f.candidate, f.load) for f in chosen}
        for one in (self.incumbent, *self._rivals):
            if one is not None and one not in arms:
                arms[one] = Arm(one, self.predictor.load_for(one))
        return arms

    def _open_round(self) -> None:
        """Plan the next round, or end the race where the budget is spent."""
        state = self.state
        state.round += 1
        state.pending = tuple(self._planned(state))
        if not state.pending:
            state.round -= 1
            state.verdict = self._out_of_time(state)

    def _planned(self, state: RaceState) -> list[Task]:
        """The next round's measurements in random order; none when the budget is spent."""
        running = state.measured_now()
        if not running or state.round > self.settings.max_rounds:
            return []
        tasks = [self._task(arm.candidate, arm.load, state.round, Purpose.RACE) for arm in running]
        if self.baseline is not None and state.round <= BASELINE_ROUNDS:
            load = self.predictor.load_for(self.baseline)
            tasks.append(self._task(self.baseline, load, state.round, Purpose.BASELINE))
        tasks.sort(key=lambda task: self._precedence(state, task))
        left, overhead = self._left_s(), self._overhead()
        # However little time there was: the best by prediction, what it would replace, and the
        # baseline are measured; and others, until one could be.
        due = not any(any(rounds.values()) for rounds in self._samples.values())
        if due:
            tasks = self._hurried(tasks, left, overhead)
        affordable: list[Task] = []
        for task in tasks:
            left -= task.seconds + overhead
            if left >= 0.0 or (due and len(affordable) < _MIN_MEASURED):
                affordable.append(task)
        if not due and len(affordable) < min(2, len(tasks)):
            return []
        return Stream(self.settings.seed).child(f"round {state.round}").shuffled(affordable)

    def _hurried(self, tasks: list[Task], left: float, overhead: float) -> list[Task]:
        """The measurements that are taken in any case, shortened where time is short."""
        must = tasks[:_MIN_MEASURED]
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
        """Who is measured when not all can be: the leader, then the baseline, then the best.

        Where nobody leads yet, those come last that could not be measured before.
        """
        untried = (one.candidate for one in state.arms.values() if not one.failures)
        first = state.leader or next(untried, None)
        if task.candidate == first and task.purpose is Purpose.RACE:
            return (0, 0.0)
        if task.candidate == self.incumbent and state.round == 1:
            return (0, 1.0)
        if task.purpose is Purpose.BASELINE:
            return (1, 0.0)
        failures = state.arms[task.candidate].failures if state.leader is None else 0
        return (2 + failures, -state.standings.gain(task.candidate))

    def _task(self, candidate: Candidate, load: Loop, number: int, purpose: Purpose) -> Task:
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

    def _left_s(self) -> float:
        """Of the budget, after the rounds that are complete."""
        return self.settings.race_s - elapsed_s(self._before)

    def _cost(self, forecast: Forecast) -> float:
        return self.settings.seconds(forecast.outcome.throughput_per_s) + self._overhead()

    def _overhead(self) -> float:
        """Time that a measurement takes beside itself, as seen so far."""
        seen = [record.overhead_s for record in self._before]
        return sum(seen) / len(seen) if seen else self.settings.switch_s

    def _absorb(self, state: RaceState) -> None:
        """Draws the conclusions of a complete round."""
        judge = self.judge
        for arm in state.measured_now():
            rounds = self._samples.get(arm.candidate, {})
            if state.round in rounds and rounds[state.round] is None:
                _count_failure(arm, self._before)
        state.standings = self._rank(state)
        if state.arena_test is not None:
            state.verdict = answer(state.arena_test, state, self.settings)
            return
        if judge.adapts:
            moved = [judge.move_level(state, arm) for arm in state.running()]
            if any(moved):
                state.standings = self._rank(state)
        self._replace_failed(state)
        state.leader = judge.leader(state)
        for arm in state.running():
            judge.eliminate(state, arm)
        state.leader = judge.leader(state)
        state.verdict = judge.verdict(state)
        if self._begin_arena_test(state):
            state.verdict = None
        elif state.verdict is None and state.round in _EXTENSIONS:
            self._extend(state)

    def _begin_arena_test(self, state: RaceState) -> bool:
        """Begins the test of the winner without the memory arena, when it is time for it."""
        if state.leader is None or state.standings.rounds(state.leader) < MIN_ROUNDS:
            return False
        budget_s = self.settings.race_s
        spent = elapsed_s(self._before)
        ended = state.verdict in {RaceVerdict.SEPARATED, RaceVerdict.IMMATERIAL}
        if not ended and (state.verdict is not None or spent < (1.0 - ARENA_TEST_SHARE) * budget_s):
            return False
        winner = self.judge.tied(state, state.arms)[0]
        challenger = self.space.without_arena(winner)
        calibration, rows = self.predictor.calibration, self.space.request_rows
        cost = self._cost(self.predictor.forecast(winner))
        if (
            challenger is None
            or challenger in state.arms
            or state.standings.excess(winner).value > 0.0
            or budget_s - spent < 2.0 * MIN_ROUNDS * cost
            or not may_matter(calibration, winner, rows, self.settings)
        ):
            return False
        verdict, since = state.verdict or RaceVerdict.BUDGET, state.round + 1
        load = state.arms[winner].load
        state.arms[challenger] = Arm(challenger, load, since=since)
        state.arena_test = ArenaTest(winner, challenger, verdict, since)
        return True

    def _out_of_time(self, state: RaceState) -> RaceVerdict:
        if state.arena_test is None:
            return RaceVerdict.BUDGET
        return close(state.arena_test, state.arms[state.arena_test.challenger], state.standings)

    def _rank(self, state: RaceState) -> Standings:
        loads = {arm.candidate: arm.load for arm in state.arms.values()}
        predicted = {
            candidate: race_gain(
                self.settings.objective, self.predictor.under(candidate, load).outcome
            )
            for candidate, load in loads.items()
        }
        settings = self.settings
        return Standings(self._samples, loads, settings.noise, settings.confidence, predicted)

    def _replace_failed(self, state: RaceState) -> None:
        """Lets others in when hardly an arm can be measured, other splits of the cores first."""
        arms, running = state.arms.values(), state.running()
        failed = {arm.candidate.split for arm in arms if arm.status is Status.FAILED}
        if not any(state.standings.rounds(arm.candidate) for arm in arms):
            # Who failed once may do better the next time, but there must be a best by then.
            failed, running = {arm.candidate.split for arm in arms if arm.failures}, []
        short = _MIN_ARMS - len(running)
        if not failed or len(running) > 1 or state.replaced >= _REPLACEMENTS:
            return
        state.replaced += 1
        # Those that were left out by a bound, when there are no others.
        fresh = [f for f in self.forecasts if f.candidate not in state.arms]
        fresh.sort(key=lambda f: (f.candidate.split in failed, not f.simulated))
        for new in fresh[:short]:
            state.arms[new.candidate] = Arm(new.candidate, new.load, since=state.round + 1)

    def _extend(self, state: RaceState) -> None:
        """Lets neighbours of the leader in, in case the prediction left out something good."""
        if state.leader is None:
            return
        left = self._left_s()
        base = self.predictor.forecast(state.leader)
        size = len(state.running()) + _NEW_NEIGHBOURS
        if left < MIN_ROUNDS * size * self._cost(base):
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


def _count_failure(arm: Arm, history: Iterable[TaskRecord]) -> None:
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
