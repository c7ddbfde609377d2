"""What holds for every server, load and seed."""

import math
from statistics import fmean

from hypothesis import given, settings
from hypothesis import strategies as st

from support import queueing_theory as theory
from support.queueing import deterministic
from tritongen.queueing import (
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    simulate,
)

loads = st.one_of(
    st.builds(OpenLoop, st.floats(5.0, 2000.0), st.sampled_from([0.0, 1.0, 3.0])),
    st.builds(ClosedLoop, st.integers(1, 12)),
)


@st.composite
def servers(draw):
    cores = draw(st.sampled_from([0.5, 1.0, 2.0, 8.0]))
    point = ServicePoint(1, 1, draw(st.floats(1e-4, 0.05)), cv=draw(st.sampled_from([0.0, 0.2])))
    larger = ServicePoint(8, 1, point.seconds * draw(st.floats(1.0, 8.0)))
    service = ServiceTimes((point, larger), cores)
    models = tuple(
        ServedModel(
            name,
            service,
            draw(loads),
            instances=draw(st.integers(1, 4)),
            threads=draw(st.integers(1, 2)),
            max_batch_size=8,
            queue_delay_s=draw(st.sampled_from([None, 0.0, 0.001, 0.02])),
            rows=draw(st.sampled_from([(1,), (1, 2, 5), (8,)])),
            slots=draw(st.integers(0, 2)),
        )
        for name in ("a", "b")[: draw(st.integers(1, 2))]
    )
    front = draw(st.sampled_from([None, FrontEnd(1e-4)]))
    return Server(models, cores, front, slots=draw(st.sampled_from([0, 2])))


@settings(max_examples=150, deadline=None)
@given(servers(), st.integers(0, 2**64))
def test_every_simulation_ends_and_its_figures_are_possible(server, seed):
    result = simulate(server, seed=seed, requests=300)
    answered = sum(m.requests for m in result.models)
    # The last event may answer a whole batch.
    assert 0 < answered < 300 + 8
    for model, figures in zip(server.models, result.models, strict=True):
        assert 0.0 <= figures.utilisation <= 1.0 + 1e-9
        assert figures.unfinished >= 0
        assert list(figures.latencies_s) == sorted(figures.latencies_s)
        if not math.isnan(figures.mean_batch):
            assert min(model.rows) <= figures.mean_batch <= 8
        if isinstance(model.load, ClosedLoop):
            assert figures.mean_in_system <= model.load.concurrency + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-4, 0.01), st.floats(1e-4, 0.02), st.floats(0.02, 0.7), st.integers(0, 1000))
def test_the_mean_latency_with_batches_holds_inoues_bounds(slope, fixed, used, seed):
    service = deterministic((1, slope + fixed), (100, 100 * slope + fixed))
    rate = used / slope
    model = ServedModel("m", service, OpenLoop(rate), max_batch_size=100_000, queue_delay_s=0.0)
    found = simulate(Server((model,), 1000.0), seed=seed, requests=8_000).of("m")
    # The bound is of the mean, which a simulation of this length misses by some per cent.
    assert fmean(found.latencies_s) <= theory.batching_latency_bound(rate, slope, fixed) * 1.15


@given(st.integers(1, 300), st.floats(0.01, 400.0))
def test_erlang_is_a_probability_and_falls_with_servers(servers, load):
    blocked, waiting = theory.erlang_b(servers, load), theory.erlang_c(servers, load)
    assert 0.0 <= blocked <= waiting <= 1.0
    assert theory.erlang_b(servers + 1, load) <= blocked


@given(
    st.lists(
        st.builds(
            ServicePoint,
            batch=st.sampled_from([1, 2, 4, 16]),
            threads=st.sampled_from([1, 2, 4]),
            seconds=st.floats(1e-6, 10.0),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 128),
    st.integers(1, 64),
    st.floats(1.0, 64.0),
    st.floats(0.0, 64.0),
)
def test_service_times_are_positive_and_finite_whatever_was_measured(
    points, batch, threads, busy, foreign
):
    model = ServiceTimes(tuple(points), 4.0)
    seconds = model.seconds(batch, threads, busy, foreign)
    assert 0.0 < seconds < math.inf
