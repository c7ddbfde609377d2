"""Speed of planning: a whole catalogue, and weeks of traffic.

    .venv/bin/python benchmarks/plan.py             the sizes that the documentation states
    .venv/bin/python benchmarks/plan.py --models 5  smaller

A plan for 20 models over every machine type of the catalogue and a week's pattern should take at
most 10 s, a week of traffic at 100 requests a second at most 5 s.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.capacity import capacity_input, catalogue, machine
from tritongen.fleet.capacity.container_capacity import Fitter, Placer
from tritongen.fleet.capacity.demand import demand_of
from tritongen.fleet.capacity.operating_curves import forecast_latency
from tritongen.fleet.capacity.replicas import by_load
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.traffic.rate_profile import RateProfile, scaled_shape
from tritongen.model.business import Business, Pattern, PatternKind, week_shape
from tritongen.model.intent import ModelIntent

PLAN_S, WEEK_S = 10.0, 5.0


def many_models(count: int) -> tuple[float, float]:
    """Wall and CPU seconds of a plan for so many models over the catalogue."""
    models = {
        f"model_{n}": (
            1.0 + 0.7 * n,
            ModelIntent(
                rate=20.0 + 5 * n, peak_rate=60.0 + 15 * n, latency_ms=50.0 if n % 2 else None
            ),
        )
        for n in range(count)
    }
    inputs = capacity_input(models, Business(pattern=Pattern(PatternKind.WEEKDAY_WEEKEND)))
    wall, cpu = perf_counter(), process_time()
    plan = plan_capacity(inputs)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    best = plan.options[0]
    print(
        f"{count} models × {len(plan.options)} machine types, a week by 5 minutes: {wall:.1f} s "
        f"({cpu:.1f} s of CPU); best {best.machine.name}, {len(best.services)} services, "
        f"{best.usd_per_month:,.0f} USD a month, {best.lower_bound_ratio:.2f} × the bound"
    )
    return wall, cpu


def one_week(rate: float) -> tuple[float, float]:
    """Wall and CPU seconds of a week by the minute: autoscaler, late share, percentile."""
    shape = week_shape(Pattern(PatternKind.WEEKDAY_WEEKEND))
    profile = RateProfile(300.0, scaled_shape(shape, rate, 3.0 * rate))
    demand = demand_of({"model": profile}).finer(60.0)
    business = Business()
    inputs = capacity_input({"model": (20.0, ModelIntent(rate=rate, latency_ms=100.0))}, business)
    fitter = Fitter(inputs.profiles, Placer(inputs.models, inputs.intent, inputs.evidence), 1.0)
    wall, cpu = perf_counter(), process_time()
    fit = fitter.fit(("model",), machine("c6i.large"))
    counts = by_load(demand.load(fit), 1, business.scaling, 0.9)
    curve = fit.models[0].curve
    figures = forecast_latency(curve, demand.rates["model"], counts.serving, 60.0, 99.0, 0.1)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    requests = rate * 7 * 86400
    print(
        f"a week at {rate:g}/s ({requests / 1e6:.0f} million requests) by the minute: {wall:.2f} s "
        f"({cpu:.2f} s of CPU); p99 {figures.latency_s * 1e3:.1f} ms, {figures.late_share:.2%} "
        f"late, {counts.mean_paid:.2f} replicas on average"
    )
    return wall, cpu


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20, help="to plan for")
    parser.add_argument("--rate", type=float, default=100.0, help="of the simulated week")
    options = parser.parse_args(argv)
    print(f"{len(catalogue().machines)} machine types in the catalogue")
    plan_wall, _ = many_models(options.models)
    week_wall, _ = one_week(options.rate)
    good = plan_wall <= PLAN_S and week_wall <= WEEK_S
    print(f"within {PLAN_S:g} s and {WEEK_S:g} s: {'yes' if good else 'NO'}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
