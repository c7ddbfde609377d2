"""The search space holds legal configurations only, and the ones that matter."""

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.backends import BACKENDS
from tritongen.tune.search.search_space import Candidate, SearchSpace, delay_choices

ORT = BACKENDS["onnxruntime"]


def keys(space):
    return [candidate.key for candidate in space.candidates()]


def test_splits_never_exceed_the_cores():
    space = SearchSpace(ORT, 4, batchable=False)
    assert space.splits() == (
        (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1),
    )  # fmt: skip


def test_candidates_of_a_model_without_batching():
    assert keys(SearchSpace(ORT, 2, batchable=False)) == ["1x1", "1x2", "2x1"]


def test_batches_are_powers_of_two_with_every_delay():
    space = SearchSpace(ORT, 1, batchable=True, max_batch=4, delays_us=(500,))
    assert keys(space) == ["1x1", "1x1 b2 d0", "1x1 b2 d500", "1x1 b4 d0", "1x1 b4 d500"]


def test_requests_of_several_rows_keep_their_batch():
    space = SearchSpace(ORT, 1, batchable=True, max_batch=8, request_rows=4)
    assert keys(space) == ["1x1 b4", "1x1 b8 d0"]


def test_a_backend_that_refuses_zero_gets_one():
    space = SearchSpace(BACKENDS["fil"], 1, batchable=True, max_batch=2)
    assert keys(space)[0] == "1x1 b1"


def test_a_backend_that_needs_full_batches_merges_nothing():
    space = SearchSpace(BACKENDS["openvino"], 1, batchable=True, max_batch=8)
    assert keys(space) == ["1x1"]


def test_operators_side_by_side_count_against_the_cores():
    space = SearchSpace(ORT, 3, batchable=False, parallel=(2,))
    assert "1x2 i2" in keys(space)
    assert "1x3 i2" not in keys(space)
    assert "2x1 i2" not in keys(space)
    assert max(candidate.total_threads for candidate in space.candidates()) == 3


def test_side_by_side_only_where_the_backend_knows_it():
    space = SearchSpace(BACKENDS["fil"], 4, batchable=False, parallel=(2, 4))
    assert all(candidate.inter_op == 1 for candidate in space.candidates())


def test_a_backend_without_thread_settings_is_taken_with_one():
    space = SearchSpace(BACKENDS["tensorrt"], 4, batchable=False)
    assert {candidate.threads for candidate in space.candidates()} == {1}


def test_a_candidate_in_words():
    assert Candidate(1, 2).words == "1 instance × 2 threads"
    assert Candidate(2, 1, 8, 500).words == (
        "2 instances × 1 thread, requests merged into batches of up to 8 within 500 µs"
    )
    assert Candidate(1, 1, 8, None, 2, arena=False).words == (
        "1 instance × 1 thread, 2 operators side by side, requests of up to 8 rows, none merged, "
        "without the memory arena"
    )


def test_without_the_memory_arena_is_offered_to_the_winner_alone():
    space = SearchSpace(ORT, 2, batchable=True, arena_test=True)
    assert all(candidate.arena for candidate in space.candidates())
    winner = Candidate(2, 1, 8, 0)
    assert space.without_arena(winner).key == "2x1 b8 d0 -arena"
    assert space.without_arena(winner).simplicity > winner.simplicity
    assert space.without_arena(space.without_arena(winner)) is None
    assert SearchSpace(ORT, 2, batchable=True).without_arena(winner) is None


def test_memory_limits_the_instances():
    space = SearchSpace(ORT, 8, batchable=False, max_instances=2)
    assert max(candidate.instances for candidate in space.candidates()) == 2


def test_wide_machines_stay_countable():
    space = SearchSpace(ORT, 64, batchable=True, max_batch=64, delays_us=(500, 2000))
    assert 100 < len(space.candidates()) < 3000
    assert (64, 1) in space.splits()
    assert (1, 64) in space.splits()


def test_simpler_means_fewer_threads_then_smaller_batches_then_no_delay():
    mixed = [
        Candidate(2, 1),
        Candidate(1, 2),
        Candidate(1, 1, 8, 0),
        Candidate(1, 1, 4, 500),
        Candidate(1, 1, 4, 0),
        Candidate(1, 1),
    ]
    ordered = [one.key for one in sorted(mixed, key=lambda candidate: candidate.simplicity)]
    assert ordered == ["1x1", "1x1 b4 d0", "1x1 b4 d500", "1x1 b8 d0", "1x2", "2x1"]


def test_neighbours_are_one_step_away():
    space = SearchSpace(ORT, 4, batchable=True, max_batch=32, delays_us=(500,))
    near = {candidate.key for candidate in space.neighbours(Candidate(2, 2, 8, 0))}
    assert {"2x2 b4 d0", "2x2 b16 d0", "2x2 b8 d500", "4x1 b8 d0", "1x4 b8 d0"} <= near
    assert "2x2 b32 d0" not in near
    assert "2x2 b8 d0" not in near


def test_merging_can_be_switched_off_from_the_smallest_batch():
    space = SearchSpace(ORT, 1, batchable=True, max_batch=8)
    assert Candidate(1, 1) in space.neighbours(Candidate(1, 1, 2, 0))


def test_the_choice_as_the_lock_records_it():
    tuned = Candidate(2, 1, 8, 500).tuned("p99<20ms", {"throughput_per_s": 300.0})
    assert (tuned.instances, tuned.threads, tuned.max_batch_size) == (2, 1, 8)
    assert tuned.queue_delay_us == 500
    assert tuned.numbers["throughput_per_s"] == 300.0


def test_delays_follow_the_execution_and_the_limit():
    assert delay_choices(0.004) == (2000, 8000)
    assert delay_choices(0.004, limit_s=0.010) == (2000,)
    assert delay_choices(0.00001) == (100,)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Candidate(0, 1),
        lambda: Candidate(1, 1, -1),
        lambda: Candidate(1, 1, 4, -5),
        lambda: SearchSpace(ORT, 0, batchable=False),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(InvalidInputError):
        make()
