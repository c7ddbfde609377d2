"""A curve brought to what was measured: it meets the truth at rates that were not, and elsewhere
it stays what it was."""

from dataclasses import replace

import pytest

from support.capacity import capacity_input, machine
from tritongen.fleet.capacity.container_capacity import Fit, Fitter, Placer
from tritongen.fleet.capacity.measured_curve import _at, measured_curve
from tritongen.fleet.capacity.model_profile import Sweep
from tritongen.fleet.capacity.service_plan import stretched
from tritongen.fleet.capacity.simulation_check import check
from tritongen.model.business import Business
from tritongen.model.evidence import ServedRate
from tritongen.model.intent import ModelIntent
from tritongen.queueing import OperatingCurve

ON = "c6i.large"
TAILS = (50.0, 90.0, 95.0, 99.0, 99.9)


def plain(**changes: object) -> tuple[Fitter, Fit]:
    given = capacity_input({"m": (4.0, ModelIntent(rate=10.0, latency_ms=32.0))}, Business())
    profile = replace(given.profiles["m"], **changes)
    fitter = Fitter({"m": profile}, Placer(given.models, given.intent, given.evidence), 1.0)
    on = replace(machine(ON), cpu=profile.measured_on)
    return fitter, fitter.fit(("m",), on)


def sweep_like(fit: Fit, factor: float, *, requests: int = 50_000, until: float = 0.8) -> Sweep:
    """Measured latencies so many times as long as the curve has them."""
    model, cores = fit.models[0], float(fit.placement.cores)
    curve, away = model.curve, model.profile.transport_s
    rates = tuple(
        ServedRate(
            share * curve.capacity_per_s,
            requests,
            tuple(
                (
                    p,
                    1e3
                    * (away + factor * (curve.latency_s(share * curve.capacity_per_s, p) - away)),
                )
                for p in TAILS
            ),
        )
        for share in (0.2, 0.4, 0.6, until)
    )
    return Sweep(model.placed, cores, away, rates)


def at(fit: Fit, share: float, percentile: float = 99.0) -> float:
    curve = fit.models[0].curve
    return curve.latency_s(share * curve.capacity_per_s, percentile)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.6])
def test_the_curve_meets_what_was_measured_and_is_not_corrected_again(factor: float) -> None:
    _, before = plain()
    _, after = plain(sweep=sweep_like(before, factor))
    model = after.models[0]
    assert model.measured
    assert not before.models[0].measured
    away = model.profile.transport_s
    for share in (0.3, 0.5, 0.7):
        for percentile in (50.0, 95.0, 99.0):
            expected = factor * (at(before, share, percentile) - away) + away
            assert at(after, share, percentile) == pytest.approx(expected, rel=0.05)
    assert check(after, (10.0,), 1.0).fit.models[0].curve == model.curve


def test_a_tail_moves_by_less_where_few_answers_tell_of_it() -> None:
    _, before = plain()
    moved = []
    for requests in (0, 160, 2_000, 500_000):
        known = sweep_like(before, 1.0, requests=requests)
        longer = tuple(
            replace(one, ms=tuple((p, ms * (2.0 if p == 99.0 else 1.0)) for p, ms in one.ms[:4]))
            for one in known.rates
        )
        _, after = plain(sweep=replace(known, rates=longer))
        moved.append(at(after, 0.5) / at(before, 0.5))
    assert moved[0] == pytest.approx(1.0)
    assert moved == sorted(moved)
    assert moved[1] < 1.6
    assert moved[3] > 1.9


def test_a_rate_that_was_held_shows_a_greater_capacity() -> None:
    _, before = plain()
    fitter, after = plain(sweep=sweep_like(before, 1.0, until=0.94))
    assert after.models[0].curve.capacity_per_s == before.models[0].curve.capacity_per_s
    curve = before.models[0].curve
    known = sweep_like(before, 1.0)
    held = ServedRate(1.3 * curve.capacity_per_s, 20_000, known.rates[-1].ms)
    fitter, after = plain(sweep=replace(known, rates=(*known.rates, held)))
    assert after.models[0].curve.capacity_per_s > held.per_s
    on = replace(machine(ON), cpu=after.models[0].profile.measured_on)
    assert fitter.ceiling("m", on) >= after.models[0].curve.capacity_per_s * 0.999


def test_other_machines_configurations_and_companions_are_not_what_was_measured() -> None:
    _, before = plain()
    sweep = sweep_like(before, 2.0)
    placed = sweep.placed
    for other in (
        replace(sweep, placed=replace(placed, instances=placed.instances + 1)),
        replace(sweep, placed=replace(placed, delay_s=0.5)),
        replace(sweep, cores=sweep.cores + 1.0),
        replace(sweep, rates=()),
    ):
        assert not plain(sweep=other)[1].models[0].measured
    given = capacity_input(
        {name: (4.0, ModelIntent(rate=10.0, latency_ms=32.0)) for name in ("m", "n")}, Business()
    )
    profiles = {name: replace(profile, sweep=sweep) for name, profile in given.profiles.items()}
    fitter = Fitter(profiles, Placer(given.models, given.intent, given.evidence), 1.0)
    on = replace(machine("c6i.xlarge"), cpu=profiles["m"].measured_on)
    assert not any(model.measured for model in fitter.fit(("m", "n"), on).models)
    slow = replace(machine(ON), cpu="Intel Xeon E5-2673 v3")
    assert not fitter.fit(("m",), slow).models[0].measured


def test_slower_executions_lengthen_a_measured_curve() -> None:
    _, before = plain()
    _, after = plain(sweep=sweep_like(before, 1.5))
    (model,) = after.models
    assert model.measured
    slower = stretched(model, 1.2)
    away = model.profile.transport_s
    found = slower.latency_s(0.5 * slower.capacity_per_s, 99.0)
    assert found - away == pytest.approx(1.2 * (at(after, 0.5) - away), rel=0.05)


def test_a_tail_that_was_seen_too_rarely_follows_the_body() -> None:
    _, before = plain()
    known = sweep_like(before, 1.4, requests=120)
    blind = replace(
        known, rates=tuple(replace(r, ms=(*r.ms[:3], (99.0, 40 * r.ms[3][1]))) for r in known.rates)
    )
    _, after = plain(sweep=blind)
    assert at(after, 0.5) / at(before, 0.5) == pytest.approx(1.4, rel=0.1)


def test_latencies_never_fall_with_the_percentile() -> None:
    _, before = plain()
    known = sweep_like(before, 1.0)
    mad = replace(
        known,
        rates=tuple(replace(r, ms=((50.0, r.ms[3][1]), (99.0, r.ms[0][1]))) for r in known.rates),
    )
    base: OperatingCurve = before.models[0].curve
    curve = measured_curve(base, base, mad, before.models[0].profile.transport_s)
    for point in curve.points:
        assert list(point.cells_s) == sorted(point.cells_s)


def test_between_percentiles_it_is_the_logarithm_of_the_share_beyond() -> None:
    known = ((50.0, 0.2), (90.0, 1.0), (99.0, 3.0))
    assert [_at(known, percentile) for percentile in (10.0, 50.0, 90.0, 99.0, 99.9)] == [
        0.2, 0.2, 1.0, 3.0, 3.0
    ]  # fmt: skip
    # Half way from 10 % beyond to 1 % beyond, on the scale of logarithms.
    assert _at(known, 100.0 - 10.0**0.5) == pytest.approx(2.0)
    assert _at((), 50.0) == 0.0
