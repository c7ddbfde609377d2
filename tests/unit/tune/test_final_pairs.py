"""The winner of the race is taken only where it is surely better than what is there."""

import pytest

from support.synthetic_triton import TREES, SyntheticTriton, run_tuning
from support.tuning import tuner_for
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.tune.search.final_pairs import Rivals, pair_tasks, settled
from tritongen.tune.search.measurement_records import LoadReading, Purpose, TaskRecord
from tritongen.tune.search.objective import parse_goal
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.tuner import evaluated

THROUGHPUT = parse_goal("throughput")
WINNER, THERE, BUILT = Candidate(1, 1, 32, 0), Candidate(2, 1, 8, 0), Candidate(2, 1)


def measured(rates, rivals, goal=THROUGHPUT, tails=None, seconds=16.0, failing=()):
    """The history of pairs in which each candidate answers at its rate, with its p99 in ms."""
    history = ()
    while tasks := pair_tasks(WINNER, rivals, goal, 1, seconds, history):
        for task in tasks:
            wave = 1.0 + 0.01 * ((task.round * 7) % 3)
            rate = rates[task.candidate] * wave * (1.0 + 0.004 * (task.round % 2))
            tail = (tails or {}).get(task.candidate, 10.0) / 1e3
            reading = LoadReading(rate, ((50.0, tail / 2), (99.0, tail)), 1000)
            failed = task.candidate in failing
            history += (TaskRecord(task, None if failed else reading, 0.0, 1.0),)
    return history


@pytest.mark.parametrize(
    ("rates", "tails", "chosen"),
    [
        ((120, 100, 90), (10, 10, 10), WINNER),
        ((102, 100, 90), (10, 10, 10), THERE),
        ((92, 100, 90), (10, 10, 10), THERE),
        ((101, 100, 101), (12, 10, 10), THERE),
        ((120, 100, 90), (13, 10, 10), THERE),
        ((120, 100, 140), (10, 10, 10), BUILT),
        ((100, 100, 120), (10, 10, 10), BUILT),
    ],
)
def test_only_what_is_better_by_more_than_nothing_replaces_what_is_there(rates, tails, chosen):
    arms = (WINNER, THERE, BUILT)
    rivals = Rivals(THERE, BUILT, held=True)
    history = measured(
        dict(zip(arms, rates, strict=True)), rivals, tails=dict(zip(arms, tails, strict=True))
    )
    assert settled(WINNER, rivals, THROUGHPUT, history) == chosen


def test_what_was_compared_is_not_compared_with_another_winner():
    """A finished run is resumed: its choice stands in the repository, and may win a tie now."""
    rates = {WINNER: 120.0, THERE: 100.0, BUILT: 90.0}
    history = measured(rates, Rivals(THERE, BUILT, held=True))
    now = Rivals(WINNER, BUILT, held=True)
    assert pair_tasks(Candidate(1, 2, 16), now, THROUGHPUT, 1, 16.0, history) == ()
    assert settled(Candidate(1, 2, 16), now, THROUGHPUT, history) == WINNER
    # One that was killed goes on.
    assert pair_tasks(WINNER, Rivals(THERE, BUILT, held=True), THROUGHPUT, 1, 16.0, history[:4])


def test_eight_and_sixteen_clients_both_count_unless_somebody_says():
    rates = {WINNER: 100.0, THERE: 100.0, BUILT: 100.0}
    loads = {r.task.load for r in measured(rates, Rivals(THERE, BUILT, held=True))}
    assert loads == {ClosedLoop(8), ClosedLoop(16)}
    loads = {r.task.load for r in measured(rates, Rivals(THERE, BUILT, held=True, clients=5))}
    assert loads == {ClosedLoop(5)}
    goal = parse_goal("p99<50ms@300/s")
    loads = {r.task.load for r in measured(rates, Rivals(THERE, BUILT, held=True), goal)}
    assert loads == {OpenLoop(300.0)}


def test_everybody_is_measured_once_a_round_and_first_in_turn():
    rates = {WINNER: 100.0, THERE: 100.0, BUILT: 100.0}
    history = measured(rates, Rivals(THERE, BUILT, held=True))
    firsts = [r.task.candidate for r in history[::3]]
    assert len(history) % 3 == 0
    assert firsts[:4] == [WINNER, BUILT, WINNER, BUILT]
    assert len({(r.task.candidate, r.task.round) for r in history}) == len(history)


def test_at_a_rate_the_latency_decides():
    goal, rivals = parse_goal("p99@300/s"), Rivals(THERE, THERE, held=True)
    rates = {WINNER: 300.0, THERE: 300.0}
    better = measured(rates, rivals, goal, {WINNER: 8.0, THERE: 10.0})
    assert settled(WINNER, rivals, goal, better) == WINNER
    same = measured(rates, rivals, goal, {WINNER: 9.8, THERE: 10.0})
    assert settled(WINNER, rivals, goal, same) == THERE


def test_what_cannot_be_served_is_no_rival_and_what_was_not_compared_stays():
    rates = {WINNER: 100.0, THERE: 100.0}
    held, fresh = Rivals(THERE, THERE, held=True), Rivals(THERE, THERE, held=False)
    history = measured(rates, held, failing={THERE})
    assert settled(WINNER, held, THROUGHPUT, history) == WINNER
    assert settled(WINNER, held, THROUGHPUT, history[:1]) == THERE
    assert settled(WINNER, held, THROUGHPUT, ()) == THERE
    assert settled(WINNER, fresh, THROUGHPUT, ()) == WINNER


def test_the_tuner_holds_its_winner_against_what_is_there_and_names_it_where_that_stays():
    best = Candidate(2, 1, 8, 0)
    rivals = Rivals(best, best, held=True, clients=8)
    tuner = tuner_for("throughput", budget_s=60.0, pairs_s=15.0, incumbent=best, rivals=rivals)
    history = run_tuning(tuner, SyntheticTriton(TREES, 2, 0, noise=0.03))
    pairs = [one.task for one in history if one.task.purpose is Purpose.PAIR]
    assert {task.load for task in pairs} == {ClosedLoop(8)}
    choice = tuner.best()
    assert choice.candidate == best
    assert choice.raced not in {None, best}
    (row,) = [row for row in evaluated(tuner) if row.candidate == choice.raced]
    assert row.why == "not surely better than 2x1 b8 d0 for the clients"
