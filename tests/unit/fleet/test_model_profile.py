"""What a model asks of a machine: from a trial or a server, with its way to the client."""

from dataclasses import replace

import pytest

from support.capacity import CPU, capacity_input, machine, model_facts, trial_evidence
from tritongen.fleet.capacity.container_capacity import Fitter, Placer
from tritongen.fleet.capacity.model_profile import (
    SERVED_UNCERTAINTY,
    TRIAL_UNCERTAINTY,
    ModelProfile,
    Placed,
    container_memory,
    profile_model,
)
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.model.business import Business, Clients, Compression, Payload, Place
from tritongen.model.evidence import Cost, ModelEvidence, Served, ServedRate, Tuned, instance_memory
from tritongen.model.intent import ModelIntent
from tritongen.queueing import Pauses

FACTS = model_facts("ocr")
SERVED = Served(
    cpus=2.0,
    cpu="Intel Xeon Platinum 8481C",
    costs=(Cost(1, 1, 5.0, 0.1), Cost(8, 1, 20.0, 0.1)),
    front_end_ms=0.3,
    transport_ms=0.9,
    contention=0.2,
)


def profile(
    evidence: ModelEvidence, intent: ModelIntent | None = None, clients: Clients | None = None
) -> ModelProfile:
    business = Business(clients=clients or Clients())
    found = profile_model(FACTS, intent or ModelIntent(rate=1.0), evidence, business, CPU)
    assert found is not None
    return found


def test_a_trial_is_less_certain_than_a_server() -> None:
    tried = profile(trial_evidence(4.0))
    served = profile(replace(trial_evidence(4.0), served=SERVED))
    assert (tried.served, tried.measured_on, tried.uncertainty) == (False, CPU, TRIAL_UNCERTAINTY)
    assert (served.served, served.uncertainty) == (True, SERVED_UNCERTAINTY)
    assert served.measured_on == SERVED.cpu
    assert served.service.alone(1, 1) == pytest.approx(5e-3)
    assert served.front_end_s == pytest.approx(0.3e-3)
    assert served.transport_s == pytest.approx(0.9e-3)


def test_what_was_seen_at_rates_is_planned_with() -> None:
    seen = replace(SERVED, wake_ms=0.08, stall_ms=4.0, stalls_per_s=1.5)
    found = profile(replace(trial_evidence(4.0), served=seen))
    assert found.wake_s == pytest.approx(0.08e-3)
    assert found.stalls == Pauses(1.5, 4e-3)
    # Of a lock that somebody wrote by hand at most half of the time is lost.
    endless = replace(seen, stalls_per_s=1e6)
    stalls = profile(replace(trial_evidence(4.0), served=endless)).stalls
    assert stalls is not None
    assert stalls.share == pytest.approx(0.5)


def test_pauses_of_older_locks_still_count() -> None:
    found = profile(replace(trial_evidence(4.0), served=replace(SERVED, pause_ms=0.7)))
    assert (found.pause_s, found.stalls) == (pytest.approx(0.7e-3), None)


def test_nothing_is_known_of_a_model_that_never_ran() -> None:
    evidence = ModelEvidence(())
    assert profile_model(FACTS, ModelIntent(), evidence, Business(), CPU) is None


def test_a_stated_goal_is_the_goal_and_another_is_taken_otherwise() -> None:
    stated = profile(trial_evidence(4.0), ModelIntent(latency_ms=30.0, percentile=95.0))
    assert (stated.goal.percentile, stated.goal.limit_s) == (95.0, 0.03)
    assert stated.goal.stated
    assert stated.goal.late_share == pytest.approx(0.05)
    taken = profile(trial_evidence(4.0))
    assert not taken.goal.stated
    assert taken.goal.limit_s == pytest.approx(5 * 4e-3, rel=0.1)
    assert profile(trial_evidence(0.01)).goal.limit_s >= 5e-3


def test_sizes_come_from_tensors_or_are_stated() -> None:
    found = profile(trial_evidence(4.0), ModelIntent(request_batch=2))
    assert found.request_bytes == 400 + 2 * 64 * 4
    assert found.response_bytes == 400 + 2 * 10 * 4
    told = profile(trial_evidence(4.0), ModelIntent(payload=Payload(600_000, 1_000)))
    assert (told.request_bytes, told.response_bytes) == (600_000, 1_000)


def test_mobile_clients_are_far_and_compression_costs_cpu_and_saves_bytes() -> None:
    intent = ModelIntent(payload=Payload(1_000_000, 1_000))
    near = profile(trial_evidence(4.0), intent, Clients(place=Place.SAME_HOST))
    far = profile(trial_evidence(4.0), intent, Clients(place=Place.MOBILE))
    packed = profile(
        trial_evidence(4.0), intent, Clients(place=Place.MOBILE, compression=Compression.GZIP)
    )
    assert far.transport_s > near.transport_s + 0.5
    assert packed.transport_s < far.transport_s
    assert packed.front_end_s > far.front_end_s
    assert packed.request_bytes < far.request_bytes


def test_times_measured_on_a_server_narrow_what_is_expected() -> None:
    intent = ModelIntent(rate=50.0, latency_ms=60.0)
    given = capacity_input({"ocr": (4.0, intent)}, machines=[machine("c6i.large")])
    served = replace(SERVED, cpu=CPU, costs=(Cost(1, 1, 4.0, 0.1),), front_end_ms=0.06)
    known = replace(
        given, profiles={"ocr": profile(replace(trial_evidence(4.0), served=served), intent)}
    )
    tried, measured = (plan_capacity(one) for one in (given, known))
    wide, narrow = (plan.options[0].services[0].forecasts[0].p99_s for plan in (tried, measured))
    assert narrow.high / narrow.low < 0.8 * wide.high / wide.low
    assert "TG340" in {item.code for item in tried.findings}
    assert "TG340" not in {item.code for item in measured.findings}


def test_rates_of_the_tuned_configuration_are_planned_with_where_requests_are_the_same() -> None:
    rate = ServedRate(100.0, 500, ((50.0, 5.0), (99.0, 9.0)))
    tuned = Tuned("throughput", 2, 1, 8, 100, cores=2)
    seen = replace(trial_evidence(4.0), tuned=tuned, served=replace(SERVED, rates=(rate,)))
    sweep = profile(seen).sweep
    assert sweep is not None
    assert sweep.rates == (rate,)
    assert sweep.placed == Placed("ocr", 2, 1, 8, 100e-6)
    assert profile(replace(seen, tuned=None)).sweep is None
    assert profile(seen, ModelIntent(rate=1.0, request_batch=4)).sweep is None
    assert profile(seen, clients=Clients(compression=Compression.GZIP)).sweep is None


@pytest.mark.parametrize(
    "rate",
    [
        ServedRate(0.0, 500, ((99.0, 9.0),)),
        ServedRate(100.0, 0, ((99.0, 9.0),)),
        ServedRate(100.0, 500, ()),
        ServedRate(100.0, 500, ((99.0, -1.0), (100.0, 3.0), (140.0, 2.0))),
    ],
)
def test_rates_that_somebody_wrote_by_hand_change_nothing_and_break_nothing(
    rate: ServedRate,
) -> None:
    given = capacity_input({"m": (4.0, ModelIntent(rate=10.0, latency_ms=32.0))}, Business())
    placer = Placer(given.models, given.intent, given.evidence)
    on = replace(machine("c6i.large"), cpu=given.profiles["m"].measured_on)
    plain = Fitter(given.profiles, placer, 1.0).fit(("m",), on).models[0]
    tuned = Tuned("", plain.placed.instances, plain.placed.threads, plain.placed.max_batch, None)
    served = replace(SERVED, cpu=CPU, cpus=float(on.cores), rates=(rate,))
    evidence = replace(trial_evidence(4.0), tuned=tuned, served=served)
    strange = replace(given.profiles["m"], sweep=profile(evidence).sweep)
    if strange.sweep is not None:
        placed = replace(strange.sweep, placed=plain.placed)
        strange = replace(strange, sweep=placed)
    found = Fitter({"m": strange}, placer, 1.0).fit(("m",), on).models[0]
    assert found.curve == plain.curve


def test_the_memory_of_a_container_is_its_servers_and_its_instances() -> None:
    trial = trial_evidence(4.0).trial
    assert trial is not None
    each = instance_memory(trial)
    assert each > trial.peak_bytes
    assert instance_memory(trial, 2**30) > 2**30 > instance_memory(None) > each
    server = container_memory([])
    assert container_memory([(2, each), (1, 2 * each)]) == server + 4 * each
