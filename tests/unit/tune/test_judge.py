"""The memory arena: asked of the winner alone, last, where it can matter and time is left."""

from support.arena import FASTER, SLOWER, tuned, tuner_of, without_arena
from support.synthetic_triton import TEXT, TINY, SyntheticTriton, run_tuning
from tritongen.tune.journal import JournalHeader, decode, encode
from tritongen.tune.search.judge import RaceVerdict
from tritongen.tune.search.measurement_records import Purpose, TaskRecord
from tritongen.tune.search.tuner import evaluated


def test_it_is_asked_last_and_in_pairs():
    _, history, _ = tuned(SLOWER)
    first = min(task.round for task in without_arena(history))
    late = [r.task for r in history if r.task.round >= first]
    assert {task.purpose for task in late} == {Purpose.RACE}
    pairs = {(task.round, task.candidate.arena) for task in late}
    assert len(pairs) == len(late)
    assert {number for number, arena in pairs if arena} == {task.round for task in late}


def test_it_is_not_asked_of_a_model_whose_executions_are_nothing():
    for seed in range(3):
        _, history, choice = tuned(TINY, seed)
        assert choice.verdict is not RaceVerdict.FAILED
        assert not without_arena(history)


def test_a_short_budget_has_no_time_for_it():
    for seed in range(3):
        triton = SyntheticTriton(TEXT, 2, seed)
        _, history, choice = tuned(TEXT, seed, triton, budget_s=20.0)
        assert choice.verdict is RaceVerdict.BUDGET
        assert not without_arena(history)


def test_a_killed_run_asks_the_same():
    _, whole, choice = tuned(FASTER, 2)
    assert without_arena(whole)
    header = JournalHeader("text", "throughput", 2, 2, "x")
    for cut in (len(whole) - 1, len(whole) - 4):
        kept = decode(encode(header, whole[:cut]), header)
        tuner = tuner_of(2, history=kept)
        triton = SyntheticTriton(FASTER, 2, 2, noise=0.04, now_s=kept[-1].ended_s)
        assert run_tuning(tuner, triton) == whole
        assert tuner.best() == choice


def test_a_server_that_refuses_it_keeps_the_default():
    class Old(SyntheticTriton):
        def measure(self, task):
            record = super().measure(task)
            if task.candidate.arena:
                return record
            return TaskRecord(task, None, record.started_s, record.ended_s, "load failed")

    tuner, history, choice = tuned(TEXT, triton=Old(TEXT, 2, 0, noise=0.04))
    assert choice.candidate.arena
    assert len(without_arena(history)) == 2
    (row,) = [row for row in evaluated(tuner) if not row.candidate.arena]
    assert row.fate == "failed"
    assert "load failed" in row.why
