"""The last question: is the race's winner better than what is there, and than what `build` gives?

The race looks for the best at the load that suits each candidate. What counts in the end is the
load that clients make. So the winner, today's configuration and the trial's are measured in turn at
that load, and the winner is taken only where it is surely better: else everything stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import geometric_mean

from tritongen.probe.statistics.intervals import Interval, paired_ratio
from tritongen.queueing import ClosedLoop, Loop, OpenLoop
from tritongen.tune.search.measurement_records import History, LoadReading, Purpose, Task
from tritongen.tune.search.objective import GoalKind, Objective
from tritongen.tune.search.search_space import Candidate

# Clients of a closed loop where nobody says how many there are.
USUAL_CLIENTS = (8, 16)
# Rounds, by the time that there is; what a measurement takes beside itself; its least length.
_MIN_ROUNDS, _MAX_ROUNDS = 4, 8
_BESIDE_S, _MIN_S = 0.4, 0.4
# Differences up to this share are none; a tail may be longer by so much where the rate is higher.
_SAME, _TAIL = 0.03, 0.10


@dataclass(frozen=True, slots=True)
class Rivals:
    """What the winner of a race must be better than.

    Attributes:
        there: today's configuration.
        built: what `build` writes from the trial alone.
        held: whether the repository holds today's, so that it stays where nothing was compared.
        clients: how many requests are under way at a time, None where nobody says.
    """

    there: Candidate
    built: Candidate
    held: bool
    clients: int | None = None

    def loads(self, objective: Objective) -> tuple[Loop, ...]:
        """What is compared under: the goal's own load where it names one, else the clients'."""
        if objective.rate_per_s is not None:
            return (OpenLoop(objective.rate_per_s),)
        known = objective.concurrency or self.clients
        return tuple(ClosedLoop(count) for count in ((known,) if known else USUAL_CLIENTS))


def pair_tasks(
    winner: Candidate,
    rivals: Rivals,
    objective: Objective,
    rows: int,
    seconds: float,
    history: History,
) -> tuple[Task, ...]:
    """The next round of measurements, empty when all are done.

    Args:
        winner: of the race.
        rivals: of it.
        objective: the goal.
        rows: of each request.
        seconds: for everything; there are at least four rounds, however short.
        history: what was measured.
    """
    arms = tuple(dict.fromkeys((winner, rivals.there, rivals.built)))
    if len(arms) == 1:
        return ()
    done = {
        (one.task.candidate, one.task.round) for one in history if one.task.purpose is Purpose.PAIR
    }
    if done and winner not in {candidate for candidate, _ in done}:
        # A finished run is resumed: its choice is today's configuration now, and wins the ties.
        return ()
    rounds = max(_MIN_ROUNDS, min(_MAX_ROUNDS, int(seconds / len(arms))))
    each = max(_MIN_S, seconds / rounds / len(arms) - _BESIDE_S)
    loads = rivals.loads(objective)
    for number in range(1, rounds + 1):
        load = loads[number % len(loads)]
        # Who comes second has the other's caches: they take turns.
        order = arms if number % 2 else arms[::-1]
        missing = tuple(
            Task(one, load, Purpose.PAIR, number, each, max_seconds=2.0 * each, rows=rows)
            for one in order
            if (one, number) not in done
        )
        if missing:
            return missing
    return ()


def settled(winner: Candidate, rivals: Rivals, objective: Objective, history: History) -> Candidate:
    """Who is served: the winner, what `build` gives where that is as good, or what is there."""
    found: dict[Candidate, dict[int, LoadReading]] = {}
    for one in history:
        if one.task.purpose is Purpose.PAIR:
            known = found.setdefault(one.task.candidate, {})
            known |= {one.task.round: one.sound} if one.sound is not None else {}
    if not any(found.values()):
        return rivals.there if rivals.held else winner

    def beats(one: Candidate, other: Candidate) -> bool:
        if one == other or not found.get(one) or other not in found:
            return False
        if not found[other]:
            return True  # it cannot be served at all
        if objective.kind is GoalKind.CORES and one.total_threads != other.total_threads:
            return one.total_threads < other.total_threads
        rounds = found[one].keys() & found[other].keys()
        return _better({at: (found[one][at], found[other][at]) for at in rounds}, objective)

    if beats(winner, rivals.there):
        return rivals.built if beats(rivals.built, winner) else winner
    return rivals.built if beats(rivals.built, rivals.there) else rivals.there


def _better(pairs: Mapping[int, tuple[LoadReading, LoadReading]], objective: Objective) -> bool:
    """Whether the first of each pair is surely better by more than nothing, and nowhere worse.

    Args:
        pairs: by round; two loads take turns.
        objective: the goal.
    """
    if not pairs:
        return False
    at = objective.percentile
    ratio = {n: one.throughput_per_s / other.throughput_per_s for n, (one, other) in pairs.items()}
    rates = list(ratio.values())
    tails = [one.latency_s(at) / other.latency_s(at) for one, other in pairs.values()]
    if objective.open_loop:
        gain = paired_ratio([1.0 / tail for tail in tails])
        return _surely(gain) and geometric_mean(rates) > 1.0 - _SAME
    each = [[value for n, value in ratio.items() if n % 2 == turn] for turn in (0, 1)]
    nowhere = all(geometric_mean(part) > 1.0 - _SAME for part in each if part)
    return _surely(paired_ratio(rates)) and nowhere and geometric_mean(tails) < 1.0 + _TAIL


def _surely(gain: Interval | None) -> bool:
    return gain is not None and gain.low > 1.0 and gain.value > 1.0 + _SAME
