"""The judge of a race: where candidates stand, who leads, who is out or tied, when it is over.

At the end comes the arena test: whether the winner is better off without the backend's memory
arena. It rarely is, and it would double the grid. So it is asked last, of the winner alone, in
pairs, and only where an execution is so large a part of a request that the answer can matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import expm1, isfinite, log, log1p

from tritongen.queueing import ClosedLoop, Loop
from tritongen.tune.search.measurement_records import Task
from tritongen.tune.search.objective import GoalKind, TuneSettings
from tritongen.tune.search.predict import Predictor
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.server_model import Calibration
from tritongen.tune.search.standings import Standings

# Rounds before a lone winner counts as measured.
MIN_ROUNDS = 3
# Rounds before a difference counts as immaterial: fewer agree by luck too often.
_SURE_ROUNDS = 6
# A single latency this far over the limit (as a logarithm) settles a level of clients.
_CLEAR_EXCESS = 0.15
# A miss (as a logarithm) that a machine's drift from minute to minute may explain.
_DRIFT = 0.05
# A single round takes out only who is this far behind (as a logarithm): until a candidate was
# measured twice, the machine's scatter is a guess.
_FAR_BEHIND = 1.0
# Room below the limit (as a logarithm) that is expected to remain with more clients.
_ROOM = 0.02
# Pairs of measurements at most, and before an answer.
ARENA_TEST_ROUNDS = 5
_MIN_ROUNDS = 3
# Share of the budget that is kept for the test where the race would take it all.
ARENA_TEST_SHARE = 0.15
# Share of an execution that the arena may cost or save, as seen on small and large models.
_EFFECT = 0.15


class Status(StrEnum):
    """Where a candidate stands."""

    RUNNING = "running"
    BEHIND = "behind"
    INFEASIBLE = "infeasible"
    FAILED = "failed"


class RaceVerdict(StrEnum):
    """How a race ended."""

    SEPARATED = "separated"
    IMMATERIAL = "immaterial"
    BUDGET = "budget"
    INFEASIBLE = "infeasible"
    FAILED = "failed"


@dataclass(slots=True)
class Arm:
    """A candidate in the race.

    Attributes:
        candidate: the configuration.
        load: under which it is measured now.
        status: where it stands.
        why: the reason when it no longer runs.
        cap: levels of clients from this index on were too many.
        failures: measurements that gave nothing.
        since: the round in which it entered.
    """

    candidate: Candidate
    load: Loop
    status: Status = Status.RUNNING
    why: str = ""
    cap: int = 10**6
    failures: int = 0
    since: int = 1


@dataclass(frozen=True, slots=True)
class ArenaTest:
    """Winner and challenger of the arena test.

    Attributes:
        winner: of the race before.
        challenger: the same without the memory arena.
        verdict: of the race before; it stays unless the challenger is better.
        since: the first round of these two alone.
    """

    winner: Candidate
    challenger: Candidate
    verdict: RaceVerdict
    since: int


@dataclass(slots=True)
class RaceState:
    """The race after the rounds that are complete.

    Attributes:
        arms: every candidate that was in it, in the order of entering.
        round: number of the round that is open, or of the last one.
        pending: measurements that are missing in the open round.
        verdict: how it ended, None while it runs.
        standings: comparisons after the complete rounds.
        leader: the best by the complete rounds, None before the first.
        replaced: how often others were let in for arms that failed.
        arena_test: of the winner alone, None before it begins.
    """

    arms: dict[Candidate, Arm]
    standings: Standings
    round: int = 0
    pending: tuple[Task, ...] = ()
    verdict: RaceVerdict | None = None
    leader: Candidate | None = None
    replaced: int = 0
    arena_test: ArenaTest | None = None

    def running(self) -> list[Arm]:
        """Arms that are still in the race."""
        return [arm for arm in self.arms.values() if arm.status is Status.RUNNING]

    def chosen(self, tied: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """The choice before its equals; measuring it once more does not bring back another one."""
        if self.arena_test is None:
            return tied
        won = self.leader == self.arena_test.challenger
        first = self.arena_test.challenger if won else self.arena_test.winner
        return (first, *(one for one in tied if one != first))

    def measured_now(self) -> list[Arm]:
        """Arms that the open round measures."""
        if self.arena_test is None:
            return self.running()
        pair = (self.arena_test.winner, self.arena_test.challenger)
        return [self.arms[one] for one in pair if self.arms[one].status is not Status.FAILED]


@dataclass(frozen=True, slots=True)
class Judge:
    """Draws conclusions from standings.

    Attributes:
        settings: of the tuning run.
        predictor: for what more clients would do to the latency.
    """

    settings: TuneSettings
    predictor: Predictor

    @property
    def fewest_cores(self) -> bool:
        """Whether cores come first."""
        return self.settings.objective.kind is GoalKind.CORES

    @property
    def adapts(self) -> bool:
        """Whether the number of clients is part of the search."""
        objective = self.settings.objective
        closed = not objective.open_loop and objective.concurrency is None
        return closed and objective.limit_s is not None

    def leader(self, state: RaceState) -> Candidate | None:
        """The best by what was measured: feasible, then value, then simpler.

        Who fell behind does not come back, unless nobody else is left; who failed comes last.
        """
        standings = state.standings
        measured = [arm for arm in state.arms.values() if standings.rounds(arm.candidate)]
        running = [arm.candidate for arm in measured if arm.status is Status.RUNNING]
        loaded = [arm.candidate for arm in measured if arm.status is not Status.FAILED]
        known = running or loaded or [arm.candidate for arm in measured]

        def order(candidate: Candidate) -> tuple[float, float, float, tuple[int, ...]]:
            excess = max(0.0, standings.excess(candidate).value)
            # One lucky measurement does not lead over many.
            penalty = self.settings.noise if standings.rounds(candidate) < 2 else 0.0
            cores = candidate.total_threads if self.fewest_cores else 0
            return (excess, cores, penalty - standings.gain(candidate), candidate.simplicity)

        return min(known, key=order, default=None)

    def eliminate(self, state: RaceState, arm: Arm) -> None:
        """Takes an arm out when it cannot be best any more."""
        standings, leader = state.standings, state.leader
        if leader is None or not standings.rounds(arm.candidate):
            return
        excess = standings.excess(arm.candidate)
        fewer = self.adapts and isinstance(arm.load, ClosedLoop) and arm.load.concurrency > 1
        if excess.low > _DRIFT and not fewer:
            arm.status = Status.INFEASIBLE
            arm.why = f"misses the goal by {expm1(excess.value):.0%}"
        elif arm.candidate != leader and standings.excess(leader).value <= 0.0:
            arm.why = self._behind(state, arm.candidate, leader)
            arm.status = Status.BEHIND if arm.why else Status.RUNNING

    def _behind(self, state: RaceState, candidate: Candidate, leader: Candidate) -> str:
        """Why a candidate is surely worse than the leader, empty when it is not."""
        standings = state.standings
        if self.fewest_cores and candidate.total_threads != leader.total_threads:
            more = candidate.total_threads > leader.total_threads
            enough = more and standings.excess(leader).high < 0.0
            return f"{leader.total_threads} cores are enough" if enough else ""
        difference = standings.lead(candidate, leader)
        if difference.high >= 0.0:
            return ""
        if standings.rounds(candidate) < 2 and difference.value > -_FAR_BEHIND:
            return ""
        return (
            f"{-expm1(difference.value):.1%} behind {leader.key} "
            f"({-expm1(difference.high):.1%} to {-expm1(difference.low):.1%})"
        )

    def verdict(self, state: RaceState) -> RaceVerdict | None:
        """Whether the race is over, and how."""
        standings, leader, running = state.standings, state.leader, state.running()
        if not running:
            infeasible = any(a.status is Status.INFEASIBLE for a in state.arms.values())
            return RaceVerdict.INFEASIBLE if infeasible else RaceVerdict.FAILED
        if leader is None or standings.rounds(leader) < MIN_ROUNDS:
            return None
        others = [arm.candidate for arm in running if arm.candidate != leader]
        if not others:
            return RaceVerdict.SEPARATED
        if standings.excess(leader).value > 0.0:
            return None
        if min(standings.rounds(one) for one in (leader, *others)) < _SURE_ROUNDS:
            return None
        if self.fewest_cores and any(o.total_threads != leader.total_threads for o in others):
            return None
        limit = log1p(self.settings.immaterial)
        differences = [standings.lead(other, leader) for other in others]
        return RaceVerdict.IMMATERIAL if all(d.high <= limit for d in differences) else None

    def tied(self, state: RaceState, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """Candidates as good as the leader for all that matters, simplest first.

        Either the difference is surely below the threshold, or none was found and the estimate
        is below it, for one that needs fewer threads, or below a third of it.
        """
        leader = state.leader
        if leader is None:
            return ()
        others = (candidate for candidate in candidates if candidate != leader)
        found = [leader, *(other for other in others if self._ties(state, other, leader))]
        return tuple(sorted(found, key=lambda candidate: candidate.simplicity))

    def _ties(self, state: RaceState, candidate: Candidate, leader: Candidate) -> bool:
        standings = state.standings
        if standings.rounds(candidate) < 2:
            return False
        if self.fewest_cores and candidate.total_threads != leader.total_threads:
            return False
        if standings.excess(candidate).value > max(0.0, standings.excess(leader).value):
            return False
        limit = log1p(self.settings.immaterial)
        difference = standings.difference(candidate, leader)
        # Without a round in common nothing is known of a pair; who fell behind did so for a reason.
        running = state.arms[candidate].status is Status.RUNNING
        behind = standings.gain(leader) - standings.gain(candidate)
        saves = candidate.total_threads < leader.total_threads
        near = limit if saves else limit / 3.0
        unseen = running and difference.high >= 0.0 and behind <= near
        return isfinite(difference.low) and (unseen or difference.low >= -limit)

    def move_level(self, state: RaceState, arm: Arm) -> bool:
        """Fewer clients where the limit is exceeded, more where there is room."""
        rounds = state.standings.rounds(arm.candidate)
        if not isinstance(arm.load, ClosedLoop) or not rounds:
            return False
        levels = self.predictor.levels()
        index = levels.index(arm.load.concurrency)
        excess = state.standings.excess(arm.candidate).value
        if excess > 0.0:
            if index == 0 or (rounds < 2 and excess < _CLEAR_EXCESS):
                return False
            arm.cap = index
            arm.load = ClosedLoop(levels[index - 1])
            return True
        if index + 1 >= min(len(levels), arm.cap):
            return False
        more = ClosedLoop(levels[index + 1])
        now = self.predictor.under(arm.candidate, arm.load).outcome.latency_s
        then = self.predictor.under(arm.candidate, more).outcome.latency_s
        if excess + log(then / now) > -_ROOM:
            return False
        arm.load = more
        return True


def may_matter(
    calibration: Calibration, winner: Candidate, rows: int, settings: TuneSettings
) -> bool:
    """Whether executions are so much of a request's time that their memory can decide."""
    size = max(rows, winner.max_batch_size) if winner.batches else rows
    execution = calibration.service_of(winner).alone(size, winner.threads) * rows / size
    share = execution / (execution + calibration.front_end_s)
    return _EFFECT * share > settings.immaterial


def answer(test: ArenaTest, state: RaceState, settings: TuneSettings) -> RaceVerdict | None:
    """Draws the conclusion of the rounds so far, None while there is none.

    The challenger takes over when it is surely better by more than is immaterial: it is the less
    simple one, and the answer is looked for several times.
    """
    arm, standings = state.arms[test.challenger], state.standings
    if arm.status is Status.FAILED:
        return test.verdict
    rounds = standings.rounds(test.challenger)
    difference = standings.difference(test.challenger, test.winner)
    holds = standings.excess(test.challenger).value <= 0.0
    enough = rounds >= _MIN_ROUNDS
    matters = log1p(settings.immaterial)
    immaterial = enough and difference.high <= matters
    if enough and holds and difference.low > matters:
        return _won(test, state)
    if immaterial or not holds or state.round - test.since + 1 >= ARENA_TEST_ROUNDS:
        return close(test, arm, standings)
    return None


def _won(test: ArenaTest, state: RaceState) -> RaceVerdict:
    """The challenger leads; who was no better than the winner is behind it, too."""
    state.leader = test.challenger
    for arm in state.running():
        if arm.candidate == test.winner:
            arm.why = f"surely slower than {test.challenger.key}"
        elif arm.candidate != test.challenger and test.verdict is not RaceVerdict.BUDGET:
            arm.why = f"no better than {test.winner.key}, which {test.challenger.key} beats"
        else:
            continue
        arm.status = Status.BEHIND
    return RaceVerdict.BUDGET if test.verdict is RaceVerdict.BUDGET else RaceVerdict.SEPARATED


def close(test: ArenaTest, arm: Arm, standings: Standings) -> RaceVerdict:
    """Ends the test without a new winner."""
    if arm.status is Status.RUNNING and standings.rounds(test.challenger):
        arm.status = Status.BEHIND
        arm.why = f"not surely faster than {test.winner.key}, which is simpler"
    return test.verdict
