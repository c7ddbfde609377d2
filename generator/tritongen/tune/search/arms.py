"""Who is in a race, and where each stands."""

from dataclasses import dataclass
from enum import StrEnum

from tritongen.queueing import Loop
from tritongen.tune.search.measurement_records import Task
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.standings import Standings


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
