"""What holds for every space, journal and run of the search."""

from hypothesis import given, settings
from hypothesis import strategies as st

from support.synthetic_triton import PROFILES, SyntheticTriton, run_tuning
from tritongen.model.backends import BACKENDS
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.tune.journal import JournalHeader, decode, encode
from tritongen.tune.search.measurement_records import (
    LoadReading,
    Purpose,
    Task,
    TaskRecord,
    elapsed_s,
)
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.tuner import Tuner

finite = st.floats(0.0, 1e9, allow_nan=False)
candidates = st.builds(
    Candidate,
    instances=st.integers(1, 64),
    threads=st.integers(1, 64),
    max_batch_size=st.integers(0, 256),
    queue_delay_us=st.none() | st.integers(0, 10**6),
    inter_op=st.integers(1, 8),
    arena=st.booleans(),
)
records = st.builds(
    TaskRecord,
    task=st.builds(
        Task,
        candidate=candidates,
        load=st.builds(ClosedLoop, st.integers(1, 512))
        | st.builds(OpenLoop, st.floats(0.01, 1e6), st.floats(0.0, 10.0)),
        purpose=st.sampled_from(Purpose),
        round=st.integers(0, 100),
        seconds=finite,
        min_requests=st.integers(0, 10**6),
        max_seconds=finite | st.just(float("inf")),
        rows=st.integers(1, 64),
    ),
    reading=st.none()
    | st.builds(
        LoadReading,
        throughput_per_s=finite,
        latencies_s=st.lists(st.tuples(st.floats(0.0, 100.0), finite), max_size=4).map(tuple),
        requests=st.integers(0, 10**9),
        failures=st.integers(0, 10**9),
        mean_batch=finite,
        execution_s=finite,
        saturated=st.booleans(),
    ),
    started_s=finite,
    ended_s=finite,
    error=st.text(max_size=40),
)
headers = st.builds(
    JournalHeader,
    model=st.text(max_size=20),
    goal=st.text(max_size=20),
    cores=st.integers(1, 512),
    seed=st.integers(),
    fingerprint=st.text(max_size=20),
)


@given(headers, st.lists(records, max_size=5))
def test_journals_come_back_as_they_were(header, history):
    assert decode(encode(header, history), header) == tuple(history)


@given(headers, st.lists(records, min_size=1, max_size=4), st.integers(0, 10**6))
def test_a_journal_cut_anywhere_gives_the_records_before_the_cut(header, history, cut):
    text = encode(header, history)
    kept = decode(text[: cut % (len(text) + 1)], header)
    assert kept == tuple(history)[: len(kept)]


spaces = st.builds(
    SearchSpace,
    backend=st.sampled_from(sorted(BACKENDS)).map(lambda name: BACKENDS[name]),
    cores=st.integers(1, 24),
    batchable=st.booleans(),
    max_batch=st.integers(1, 16),
    parallel=st.lists(st.integers(1, 4), max_size=2).map(tuple),
    arena_test=st.booleans(),
    delays_us=st.lists(st.integers(0, 5000), max_size=2).map(tuple),
    request_rows=st.integers(1, 4),
    max_instances=st.none() | st.integers(1, 8),
)


@settings(max_examples=60, deadline=None)
@given(spaces)
def test_every_candidate_and_neighbour_is_legal(space):
    found = space.candidates()
    assert found
    assert len(set(found)) == len(found)
    for candidate in found:
        assert candidate.total_threads <= space.cores
        assert candidate.instances <= (space.max_instances or space.cores)
        if candidate.batches:
            assert candidate.max_batch_size > space.request_rows
    for neighbour in space.neighbours(found[len(found) // 2]):
        assert neighbour in found


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["throughput", "throughput@4", "p99<30ms", "latency@60/s", "p95<9ms@40/s"]),
    st.sampled_from(PROFILES),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.floats(0.0, 0.25),
    st.floats(0.0, 0.5),
    st.sampled_from([10.0, 40.0]),
)
def test_every_run_ends_in_time_with_a_legal_choice(
    goal, profile, cores, seed, noise, failing, budget
):
    class Unreliable(SyntheticTriton):
        def measure(self, task):
            record = super().measure(task)
            if self._stream.uniform() < failing:
                return TaskRecord(task, None, record.started_s, record.ended_s, "failed")
            return record

    space = SearchSpace(BACKENDS["onnxruntime"], cores, batchable=True, max_batch=2)
    tuner = Tuner(TuneSettings(parse_goal(goal), cores, budget_s=budget, seed=seed), space)
    history = run_tuning(tuner, Unreliable(profile, cores, seed, noise=noise))
    choice = tuner.best()
    assert choice.candidate.total_threads <= cores
    # The first measurement of a race is taken whatever it costs; the last one is ended.
    assert elapsed_s(history) <= budget + 10.0
