"""The simulation against theory, against identities that always hold, and against Triton."""

import math
from dataclasses import replace
from statistics import fmean

import pytest

from support import queueing_theory as theory
from support.queueing import Trace, deterministic, exponential, run
from tritongen.errors import InvalidInputError
from tritongen.queueing import (
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    Pauses,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    simulate,
)


def mean_latency_s(found):
    return fmean(found.latencies_s)


class TestTheory:
    @pytest.mark.parametrize(("servers", "rho"), [(1, 0.5), (1, 0.8), (3, 0.7), (8, 0.85)])
    def test_mmc(self, servers, rho):
        rate = rho * servers / 0.01
        found = run(exponential(0.01), OpenLoop(rate), instances=servers, requests=150_000, seed=3)
        assert found.mean_wait_s == pytest.approx(
            theory.mmc_mean_wait(servers, rate, 0.01), rel=0.08
        )
        assert found.utilisation == pytest.approx(rho, rel=0.02)

    def test_mm1_percentiles_are_those_of_an_exponential(self):
        found = run(exponential(0.01), OpenLoop(70.0), requests=150_000)
        # The time in the system of M/M/1 is exponential with mean 1 / (μ − λ).
        assert found.latency_s(50) == pytest.approx(0.693 / 30.0, rel=0.06)
        assert found.latency_s(99) == pytest.approx(4.605 / 30.0, rel=0.08)

    @pytest.mark.parametrize("rho", [0.5, 0.8])
    def test_md1(self, rho):
        found = run(deterministic((1, 0.01)), OpenLoop(rho / 0.01), requests=100_000)
        assert found.mean_wait_s == pytest.approx(theory.mg1_mean_wait(rho / 0.01, 0.01), rel=0.06)

    def test_lognormal_service_has_the_wait_of_its_variation(self):
        point = ServicePoint(1, 1, 0.01, cv=0.6)
        service = ServiceTimes((point,), 100.0, contention=0.0)
        found = run(service, OpenLoop(70.0), requests=150_000)
        assert found.mean_wait_s == pytest.approx(theory.mg1_mean_wait(70.0, 0.01, 0.6), rel=0.08)

    @pytest.mark.parametrize("rate", [20.0, 100.0, 300.0, 600.0, 850.0])
    @pytest.mark.parametrize(("slope", "fixed"), [(0.001, 0.004), (0.001, 0.0005)])
    def test_batching_stays_below_inoues_bounds_and_near_them(self, rate, slope, fixed):
        service = deterministic((1, slope + fixed), (100, 100 * slope + fixed))
        found = run(
            service, OpenLoop(rate), max_batch_size=1000, queue_delay_s=0.0, requests=60_000
        )
        bound = theory.batching_latency_bound(rate, slope, fixed)
        assert mean_latency_s(found) <= bound * 1.02
        assert mean_latency_s(found) >= bound * 0.85

    def test_batching_is_stable_beyond_the_rate_of_single_rows(self):
        service = deterministic((1, 0.005), (100, 0.104))
        single = run(service, OpenLoop(600.0))
        batched = run(service, OpenLoop(600.0), max_batch_size=64, queue_delay_s=0.0)
        assert single.throughput_per_s == pytest.approx(200.0, rel=0.02)
        assert batched.throughput_per_s == pytest.approx(600.0, rel=0.05)


class TestIdentities:
    @pytest.mark.parametrize("delay_s", [None, 0.0, 0.005])
    def test_little(self, delay_s):
        service = deterministic((1, 0.004), (8, 0.010))
        found = run(
            service,
            OpenLoop(300.0),
            instances=2,
            max_batch_size=8,
            queue_delay_s=delay_s,
            requests=40_000,
        )
        in_system = found.throughput_per_s * mean_latency_s(found)
        assert found.mean_in_system == pytest.approx(in_system, rel=0.02)

    def test_closed_loop_conserves_its_clients(self):
        found = run(exponential(0.01), ClosedLoop(6), instances=2, requests=20_000)
        assert found.throughput_per_s * mean_latency_s(found) == pytest.approx(6, rel=0.02)

    def test_one_client_alone(self):
        found = run(deterministic((1, 0.01)), ClosedLoop(1), requests=500)
        assert found.throughput_per_s == pytest.approx(1 / 0.010, rel=1e-3)
        assert found.latency_s(99.9) == pytest.approx(0.01)

    def test_transport_delays_answers_and_clients(self):
        found = run(deterministic((1, 0.01)), ClosedLoop(1), transport_s=0.005, requests=500)
        assert found.latency_s(50) == pytest.approx(0.015)
        assert found.throughput_per_s == pytest.approx(1 / 0.015, rel=1e-3)

    def test_saturated_instances_are_always_busy(self):
        found = run(deterministic((1, 0.01)), ClosedLoop(8), instances=4, requests=2_000)
        assert found.utilisation == pytest.approx(1.0, abs=0.01)
        assert found.throughput_per_s == pytest.approx(400.0, rel=0.01)

    def test_same_seed_same_result(self):
        arguments = (exponential(0.01), OpenLoop(80.0))
        assert run(*arguments, seed=5) == run(*arguments, seed=5)
        assert run(*arguments, seed=5) != run(*arguments, seed=6)

    def test_an_overloaded_open_loop_grows_without_end(self):
        found = run(deterministic((1, 0.01)), OpenLoop(150.0), requests=3_000)
        assert found.throughput_per_s == pytest.approx(100.0, rel=0.02)
        assert found.unfinished > 1_000


class TestDynamicBatcher:
    def test_a_delay_collects_what_comes_within_it(self):
        found = run(
            deterministic((1, 0.001)),
            Trace((0.0, 0.004, 0.008, 0.1)),
            max_batch_size=8,
            queue_delay_s=0.010,
            requests=100,
        )
        assert found.mean_batch == pytest.approx(4 / 2)
        # One row takes 1 ms and three take 3 ms; the oldest of each batch waited for 10 ms.
        assert found.latencies_s == pytest.approx((0.005, 0.009, 0.011, 0.013))

    def test_a_full_batch_does_not_wait(self):
        found = run(
            deterministic((1, 0.001)),
            Trace((0.0, 0.001, 0.002, 0.003)),
            max_batch_size=4,
            queue_delay_s=10.0,
            requests=100,
        )
        assert found.latencies_s == pytest.approx((0.004, 0.005, 0.006, 0.007))

    def test_without_a_batcher_each_request_runs_alone(self):
        found = run(deterministic((1, 0.01), (8, 0.01)), ClosedLoop(8), max_batch_size=8)
        assert found.mean_batch == 1.0

    def test_requests_of_several_rows_fill_a_batch_by_rows(self):
        found = run(
            deterministic((1, 0.01), (8, 0.02)),
            ClosedLoop(16),
            max_batch_size=8,
            queue_delay_s=0.0,
            rows=(3,),
            requests=4_000,
        )
        assert found.mean_batch == pytest.approx(6.0, abs=0.2)

    def test_requests_larger_than_the_greatest_batch_are_refused(self):
        with pytest.raises(InvalidInputError, match="max_batch_size"):
            ServedModel("m", deterministic((1, 0.01)), OpenLoop(1.0), max_batch_size=4, rows=(8,))

    def test_a_delay_is_not_negative(self):
        with pytest.raises(InvalidInputError, match="delay"):
            ServedModel("m", deterministic((1, 0.01)), OpenLoop(1.0), queue_delay_s=-1.0)


class TestSharedCores:
    def test_two_instances_share_one_core(self):
        service = deterministic((1, 0.01), cores=1.0)
        found = run(service, ClosedLoop(4), instances=2, cores=1.0, requests=4_000)
        assert found.throughput_per_s == pytest.approx(100.0, rel=0.02)
        assert found.mean_execution_s == pytest.approx(0.02, rel=0.02)

    def test_an_execution_is_slowed_only_while_others_run(self):
        service = deterministic((1, 0.010), cores=1.0)
        found = run(service, Trace((0.0, 0.005)), instances=2, cores=1.0, requests=10)
        # Alone for 5 ms, then 5 ms of work each at half speed, then the rest alone.
        assert found.latencies_s == pytest.approx((0.015, 0.015))

    def test_models_slow_each_other(self):
        service = deterministic((1, 0.01), cores=2.0)

        def server(*names):
            return Server(
                tuple(ServedModel(n, service, ClosedLoop(4), instances=2) for n in names), 2.0
            )

        alone = simulate(server("a"), seed=1, requests=4_000).of("a").throughput_per_s
        shared = simulate(server("a", "b"), seed=1, requests=8_000)
        assert shared.of("a").throughput_per_s == pytest.approx(alone / 2, rel=0.03)
        assert shared.of("b").throughput_per_s == pytest.approx(alone / 2, rel=0.03)

    def test_the_front_end_takes_its_share_of_the_cores(self):
        service = deterministic((1, 0.001), cores=1.0)
        model = ServedModel("m", service, ClosedLoop(4))
        found = simulate(Server((model,), 1.0, FrontEnd(0.001)), seed=1, requests=4_000).of("m")
        assert found.throughput_per_s == pytest.approx(500.0, rel=0.02)

    def test_the_rate_limiter_lets_only_so_many_run(self):
        service = deterministic((1, 0.01))
        models = tuple(
            ServedModel(name, service, ClosedLoop(4), instances=2, slots=1) for name in "ab"
        )
        limited = simulate(Server(models, 100.0, slots=1), seed=1, requests=4_000)
        total = sum(model.throughput_per_s for model in limited.models)
        assert total == pytest.approx(100.0, rel=0.02)
        assert limited.of("a").throughput_per_s == pytest.approx(50.0, rel=0.05)

    def test_a_model_cannot_need_more_slots_than_there_are(self):
        model = ServedModel("a", deterministic((1, 0.01)), ClosedLoop(1), slots=3)
        with pytest.raises(InvalidInputError, match="slots"):
            Server((model,), 4.0, slots=2)


def test_a_trace_that_ends_ends_the_simulation():
    found = run(deterministic((1, 0.01)), Trace((0.0, 1.0)), requests=10_000)
    assert found.requests == 2


def test_an_unknown_model_is_a_key_error():
    service = deterministic((1, 0.01))
    result = simulate(Server((ServedModel("a", service, ClosedLoop(1)),), 1.0), seed=1, requests=10)
    with pytest.raises(KeyError):
        result.of("b")


@pytest.mark.parametrize(
    "make",
    [
        lambda: OpenLoop(0.0),
        lambda: OpenLoop(1.0, -1.0),
        lambda: ClosedLoop(0),
        lambda: Server((), 1.0),
    ],
)
def test_impossible_loads_are_refused(make):
    with pytest.raises(InvalidInputError):
        make()


def test_pauses_reach_one_request_in_twenty_and_slow_nobody_else():
    service = deterministic((1, 0.010))
    plain = run(service, OpenLoop(1.0), seed=2)
    paused = run(service, OpenLoop(1.0), seed=2, network_pause_s=0.1)
    assert paused.latency_s(90) == pytest.approx(plain.latency_s(90))
    # A hundredth of all is a fifth of those that pause: their 80th percentile.
    assert paused.latency_s(99) == pytest.approx(0.010 + 0.1 * math.log(5.0), rel=0.1)
    assert paused.mean_wait_s == plain.mean_wait_s


class TestPauses:
    SERVICE = deterministic((1, 0.010))

    @staticmethod
    def run(load, pauses, requests=20_000, **settings):
        model = ServedModel("m", TestPauses.SERVICE, load, **settings)
        server = Server((model,), 1000.0, pauses=pauses)
        return simulate(server, seed=4, requests=requests).of("m")

    def test_the_wait_of_few_requests_is_that_of_a_random_moment(self):
        # One that arrives in a stall waits for half of it on average, one in which a stall begins
        # for all of it.
        pauses = Pauses(1.0, 0.2)
        found = self.run(OpenLoop(0.1), pauses)
        expected = 0.010 + pauses.share * 0.1 + 0.010 * 0.2
        assert mean_latency_s(found) == pytest.approx(expected, rel=0.05)
        assert found.latency_s(75) == pytest.approx(0.010)
        assert max(found.latencies_s) < 0.010 + 2 * 0.2

    def test_a_busy_server_pays_for_longer_than_it_stood_still(self):
        def added(rate):
            pauses = Pauses(0.5, 0.05)
            plain, stalled = (self.run(OpenLoop(rate), one) for one in (None, pauses))
            return mean_latency_s(stalled) - mean_latency_s(plain)

        assert added(80.0) > 2.0 * added(10.0)

    def test_a_closed_loop_loses_their_share_of_the_time(self):
        found = self.run(ClosedLoop(4), Pauses(2.0, 0.05))
        # Pauses come after each other: two a second of the time that is left.
        assert found.throughput_per_s == pytest.approx(100.0 / 1.1, rel=0.02)

    def test_the_same_seed_gives_the_same(self):
        one, other = (self.run(OpenLoop(50.0), Pauses(2.0, 0.05), 2_000) for _ in range(2))
        assert one == other

    def test_impossible_stalls_are_refused(self):
        for per_s, length_s in ((-1.0, 0.1), (1.0, -0.1), (math.nan, 0.1), (1.0, math.inf)):
            with pytest.raises(InvalidInputError):
                Pauses(per_s, length_s)


class TestWaking:
    @staticmethod
    def run(load, wake_s):
        model = ServedModel("m", deterministic((1, 0.010)), load)
        server = Server((model,), 1000.0, FrontEnd(0.001, wake_s=wake_s))
        return simulate(server, seed=4, requests=2_000, warmup=0.0).of("m")

    def test_a_lone_request_pays_for_waking(self):
        load = Trace((1.0, 2.0, 2.0))
        # The second of two that come at once finds the threads awake, and overtakes the first.
        assert self.run(load, 0.002).latencies_s == pytest.approx((0.011, 0.013, 0.021))

    def test_clients_that_wait_find_everything_awake(self):
        assert self.run(ClosedLoop(2), 0.002) == self.run(ClosedLoop(2), 0.0)


class TestRests:
    COLD = replace(deterministic((1, 0.010)), idle_penalty=0.3)

    def test_a_lone_request_after_a_rest_takes_longer(self):
        found = run(self.COLD, Trace((0.0, 1.0, 2.0)))
        assert found.latencies_s == pytest.approx((0.010, 0.013, 0.013))

    def test_a_request_that_waited_or_came_at_once_does_not(self):
        assert run(self.COLD, Trace((0.0, 0.001))).mean_execution_s == pytest.approx(0.010)
        assert run(self.COLD, ClosedLoop(1)).mean_execution_s == pytest.approx(0.010)
        soon = Trace(tuple(0.0101 * number for number in range(100)))
        assert run(self.COLD, soon).mean_execution_s < 0.0101

    def test_rests_grow_rare_with_the_load(self):
        means = [run(self.COLD, OpenLoop(rate)).mean_execution_s for rate in (10.0, 50.0, 90.0)]
        assert means == sorted(means, reverse=True)
        assert means[0] == pytest.approx(0.0126, abs=0.0002)
        assert means[2] == pytest.approx(0.0103, abs=0.0002)
