"""The arena test: whether the winner is better off without the backend's memory arena.

It rarely is, and it would double the grid. So it is asked last, of the winner alone, in pairs, and
only where an execution is so large a part of a request that the answer can matter.
"""

from math import log1p

from tritongen.tune.search.arms import ArenaTest, Arm, RaceState, RaceVerdict, Status
from tritongen.tune.search.calibrate import Calibration
from tritongen.tune.search.search_settings import TuneSettings
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.standings import Standings

# Pairs of measurements at most, and before an answer.
ARENA_TEST_ROUNDS = 5
_MIN_ROUNDS = 3
# Share of the budget that is kept for the test where the race would take it all.
ARENA_TEST_SHARE = 0.15
# Share of an execution that the arena may cost or save, as seen on small and large models.
_EFFECT = 0.15


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
