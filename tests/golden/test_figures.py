"""Figures that a plan, a lock or a report rests on: the same for the same inputs, on any machine.

What is committed must not drift because the tool was updated or ran elsewhere. Each case computes
a few results from fixed inputs and seeds; they are kept to five figures, and a change of any of
them is reviewed in the diff.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.capacity import capacity_input
from support.probe import autocorrelated, constant, one_server, stalling, uniform, virtual_level
from support.queueing import deterministic, exponential, operating_curve
from support.synthetic_triton import CONVNET, TEXT, TINY, TREES, Profile
from support.tuning import tune
from tritongen.fleet.capacity.capacity_plan import PlanFile, plan_text
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.catalogue import Machine
from tritongen.fleet.report.other_cases import case_rows
from tritongen.model.business import (
    Burst,
    Business,
    Clients,
    Cloud,
    Compression,
    Grouping,
    Pattern,
    PatternKind,
    Place,
    Platform,
    Scaling,
    ScalingMode,
    week_shape,
)
from tritongen.model.codec import encode
from tritongen.model.intent import ModelIntent, Overload, PipelineIntent, PipelineStep
from tritongen.probe.level import Conditions
from tritongen.probe.report.json_document import Environment, document
from tritongen.probe.statistics.measurement import WantedPrecision
from tritongen.queueing import (
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    Pauses,
    RateStep,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    simulate,
    simulate_rates,
)
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.tuner import evaluated, pareto

FIGURES = Path(__file__).parent / "figures"
LEFT_OUT = {"client", "timeline", "histograms"}
PERCENTILES = (10.0, 50.0, 90.0, 99.0, 99.9)
SERVICE = ServiceTimes(
    (
        ServicePoint(1, 1, 0.004, 0.1), ServicePoint(8, 1, 0.014, 0.2), ServicePoint(1, 2, 0.0025),
        ServicePoint(1, 4, 0.0018, 0.1),
    ),
    4.0,
    contention=0.3,
    idle_penalty=0.2,
)  # fmt: skip


def short(value: object) -> object:
    """A JSON value with floats of five figures, without the machine's and every request's own."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items() if key not in LEFT_OUT}
    return [short(item) for item in value] if isinstance(value, list | tuple) else value


def lines(value: object, indent: str) -> str:
    """JSON in which what holds nothing further stands on one line."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(item, dict | list) for item in items):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {lines(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + lines(item, inner) for item in items) + f"\n{indent}]"


def simulations() -> object:
    model = ServedModel("m", SERVICE, OpenLoop(300.0), 2)
    batched = replace(model, max_batch_size=8, queue_delay_s=0.002, rows=(1, 2, 3))
    closed = replace(model, name="c", load=ClosedLoop(6), transport_s=0.001)
    limited = (replace(batched, slots=2), replace(closed, slots=1), replace(model, name="n"))
    servers = {
        "plain": Server((model,), 4.0),
        "threads": Server((replace(model, threads=3),), 4.0),
        "batched": Server((batched,), 2.0),
        "at once": Server((replace(batched, queue_delay_s=0.0, load=OpenLoop(900.0)),), 4.0),
        "closed": Server((closed,), 2.0, FrontEnd(0.0005, 2)),
        "front end": Server((model,), 1.0, FrontEnd(0.001, 2, wake_s=0.0005)),
        "mixed": Server((model, closed), 1.5, FrontEnd(0.0002, 1, wake_s=0.0001)),
        "limited": Server(limited, 4.0, FrontEnd(0.0002), slots=3),
        "pauses": Server((replace(model, network_pause_s=0.01),), 4.0, pauses=Pauses(0.5, 0.05)),
        "bursts": Server((replace(model, load=OpenLoop(100.0, cv=2.5)),), 4.0),
        "even": Server((replace(model, load=OpenLoop(100.0, cv=0.0)),), 4.0),
        "half": Server((replace(model, load=OpenLoop(100.0, cv=0.5)),), 4.0),
        "markov": Server((replace(model, service=exponential(0.004)),), 4.0),
    }
    return {name: figures_of(server) for name, server in servers.items()}


def figures_of(server: Server) -> object:
    found = simulate(server, seed=5, requests=600).models
    return {
        one.name: {
            **{
                key: value for key, value in encode(one, whole=True).items() if key != "latencies_s"
            },
            "latency_s": {str(at): one.latency_s(at) for at in PERCENTILES},
            "throughput": one.throughput_per_s,
        }
        for one in found
    }


def service_times() -> object:
    plain = replace(SERVICE, contention=None, idle_penalty=0.0)
    models = {
        "measured": SERVICE,
        "plain": plain,
        "scaled": SERVICE.scaled(1.7),
        "moved": SERVICE.on_cores(1.5),
        "one point": ServiceTimes((ServicePoint(2, 2, 0.01),), 2.0),
    }
    counts = ((1, 1), (2, 1), (8, 1), (20, 1), (1, 2), (4, 2), (16, 2), (1, 3), (4, 8))
    shares = ((1, 1.0, 0.0), (2, 2.0, 0.0), (2, 1.0, 2.5), (4, 3.0, 1.0), (1, 6.0, 0.0))
    return {
        name: {
            "alone": [model.alone(batch, threads) for batch, threads in counts],
            "slowdown": [model.slowdown(threads, *rest) for threads, *rest in shares],
            "cv": model.cv,
            "idle": [model.idle_factor(rest_s) for rest_s in (0.0, 0.0005, 0.001, 0.1)],
        }
        for name, model in models.items()
    }


def rates() -> object:
    model = ServedModel("m", deterministic((1, 0.005), (8, 0.020)), OpenLoop(100.0), 2)
    batched = replace(model, max_batch_size=8, queue_delay_s=0.003)
    curve = operating_curve(Server((batched,), 1000.0), "m", seed=4, requests=500)
    busy = curve.capacity_per_s
    profiles = {
        "calm": [RateStep(60.0, 100.0), RateStep(60.0, 300.0, 2)],
        "burst": [
            RateStep(60.0, 200.0), RateStep(5.0, 1.5 * busy), RateStep(0.0, 5.0),
            RateStep(3.0, 0.5 * busy), RateStep(60.0, 100.0),
        ],
        "flood": [RateStep(600.0, 1.1 * busy), RateStep(10.0, 0.0)],
        "full": [RateStep(10.0, busy)],
    }  # fmt: skip
    return {
        "capacity": busy,
        "latency": [curve.latency_s(share * busy, 99.0) for share in (0.0, 0.01, 0.5, 0.97, 1.0)],
        "rate": [curve.greatest_rate(99.0, limit_s) for limit_s in (0.001, 0.012, 0.03, 1.0)],
        "scaled": curve.scaled(2.0).latency_s(0.3 * busy, 95.0),
        **{
            name: {
                "latency": [simulate_rates(curve, steps).latency_s(at) for at in PERCENTILES],
                "within": [simulate_rates(curve, steps).share_within(s) for s in (0.02, 0.1, 1.0)],
            }
            for name, steps in profiles.items()
        },
    }


def weeks() -> object:
    burst = Burst(per_day=3, minutes=20.0, factor=4.0)
    patterns = {
        "constant": Pattern(),
        "weekdays": Pattern(PatternKind.WEEKDAY_WEEKEND, busy=(9, 17), night=0.2, weekend=0.5),
        "late": Pattern(PatternKind.WEEKDAY_WEEKEND, busy=(14, 24)),
        "early": Pattern(PatternKind.WEEKDAY_WEEKEND, busy=(0, 6)),
        "ramp": Pattern(PatternKind.RAMP_BURST, busy=(8, 18), burst=burst),
        "no bursts": Pattern(PatternKind.RAMP_BURST, burst=replace(burst, per_day=0)),
        "black friday": Pattern(PatternKind.BLACK_FRIDAY, burst=burst, weekend=0.7),
    }
    shapes = {name: week_shape(pattern) for name, pattern in patterns.items()}
    return {
        name: {"sum": math.fsum(shape), "steps": shape[4 * 288 : 5 * 288 : 4] + shape[1600::60]}
        for name, shape in shapes.items()
    }


SMALL = Machine(
    "own", "small", "here", 2, 1, 4 << 30, "Intel Xeon Platinum 8370C", "avx512", "", 0, 0.08,
    "invented", "2026-01-01", 0.8,
)  # fmt: skip
LARGE = replace(
    SMALL, name="large", vcpus=8, cores=8, memory_bytes=16 << 30, cpu="AMD EPYC 9R14",
    usd_per_hour=0.3, network_gbps=None,
)  # fmt: skip
AZURE = replace(SMALL, provider="azure", name="Standard_F4s_v2", vcpus=4, cores=2)


def planned(
    business: Business,
    machines: tuple[Machine, ...] = (SMALL, LARGE),
    pipeline: bool = False,
    **models: ModelIntent,
) -> object:
    given = capacity_input(
        {name: (4.0, model) for name, model in models.items()}, business,
        item=0.6, machines=machines,
    )  # fmt: skip
    if pipeline:
        steps = PipelineIntent(
            tuple(PipelineStep(name) for name in models), ("y",), rate=30.0, latency_ms=200.0
        )
        given = replace(given, intent=replace(given.intent, pipelines={"read": steps}))
    plan = plan_capacity(given, refined=2)
    best = plan.best
    if best is None:
        return encode(replace(plan, options=(), hourly_rates=()), whole=True)
    chosen = plan.options.index(best)
    return json.loads(plan_text(PlanFile("tool", replace(plan, hourly_rates=()), chosen)))["plan"]


def plans() -> object:
    week = Pattern(PatternKind.WEEKDAY_WEEKEND, busy=(9, 17), night=0.05)
    ocr = ModelIntent(rate=300.0, peak_rate=900.0, latency_ms=40.0)
    small = ModelIntent(rate=5.0, latency_ms=60.0)
    loose = ModelIntent(rate=50.0)
    strict = ModelIntent(rate=50.0, latency_ms=30.0, percentile=95.0, overload=Overload.REJECT)
    azure = Cloud(platform=Platform.AZUREML)
    scaled = Scaling(ScalingMode.AUTOSCALED, start_up_s=120.0, interval_s=60.0)
    far = Clients(Place.MOBILE, compression=Compression.GZIP)
    return {
        "one": planned(Business(pattern=week), ocr=ocr),
        "static": planned(
            Business(pattern=week, scaling=Scaling(ScalingMode.STATIC), min_replicas=2), ocr=ocr
        ),
        "autoscaled": planned(Business(pattern=week, scaling=scaled, burstiness=3.0), ocr=ocr),
        "several": planned(Business(), a=small, b=loose, c=strict),
        "separate": planned(Business(grouping=Grouping.SEPARATE), a=small, b=strict),
        "named": planned(Business(services={"web": ("a", "b")}), a=small, b=small, c=ocr),
        "pipeline": planned(Business(clients=far), pipeline=True, a=small, b=small),
        "few replicas": planned(Business(scaling=Scaling(max_replicas=1)), (SMALL,), ocr=ocr),
        "budget": planned(Business(pattern=week, budget_usd=20.0), ocr=ocr),
        "too strict": planned(Business(), ocr=replace(ocr, latency_ms=3.0)),
        "azure": planned(
            Business(cloud=azure), (AZURE, SMALL), ocr=replace(ocr, peak_rate=None)
        ),
        "azure, too much": planned(
            Business(cloud=azure), (AZURE,), ocr=replace(ocr, rate=600.0)
        ),
    }  # fmt: skip


def cases() -> object:
    ocr = ModelIntent(rate=300.0, peak_rate=900.0, latency_ms=40.0)
    azure = Business(cloud=Cloud(platform=Platform.AZUREML))
    few = Business(scaling=Scaling(max_replicas=5))
    return {
        name: encode(
            case_rows(
                capacity_input({"ocr": (4.0, model)}, business, item=0.6, machines=[machine])
            ),
            whole=True,
        )
        for name, model, business, machine in (
            ("usual", ocr, Business(min_replicas=2), LARGE),
            ("one replica", replace(ocr, rate=5.0, peak_rate=None), Business(), LARGE),
            ("few replicas", ocr, few, SMALL),
            ("azure", ocr, azure, AZURE),
        )
    }


def raced(goal: str, profile: Profile, **options: object) -> object:
    tuner, history, choice = tune(goal, profile, seed=3, **options)
    rows = evaluated(tuner)
    return {
        "tasks": [
            f"{one.task.purpose} {one.task.candidate.key} {one.task.load.value:.4g} "
            f"round {one.task.round} {one.task.seconds:.4g} s {one.task.rows}"
            for one in history
        ],
        "choice": [choice.candidate.key, str(choice.verdict), choice.feasible],
        "tied": [one.key for one in choice.tied],
        "nearest": [one.text for one in choice.nearest],
        "front": [one.candidate.key for one in pareto(rows)],
        "rows": [
            [
                one.candidate.key, one.fate, one.load.value, one.why,
                one.measured.throughput.value if one.measured else None,
                one.measured.latency_s.high if one.measured else None,
                one.predicted.throughput_per_s if one.predicted else None,
            ]
            for one in rows
        ],
    }  # fmt: skip


def races() -> object:
    return {
        "clients": raced("throughput@16", TREES, max_batch=8, budget_s=30.0),
        "limit": raced("p99<60ms", TEXT, budget_s=12.0, max_batch=4),
        "impossible": raced("p99<5ms", CONVNET, budget_s=10.0, max_batch=1),
        "tiny": raced(
            "throughput", TINY, budget_s=30.0,
            incumbent=Candidate(1, 1), baseline=Candidate(2, 2, 4, 0),
        ),
    }  # fmt: skip


def levels() -> object:
    conditions = Conditions(budget_s=10.0, precision=WantedPrecision(width=0.1), seed=1)
    fixed = replace(conditions, budget_s=3.0, fixed=True)
    made = {
        "constant": virtual_level(constant(0.01), ClosedLoop(4), conditions),
        "uniform": virtual_level(uniform(0.005, 0.02), ClosedLoop(4), conditions),
        "queue": virtual_level(one_server(0.004), OpenLoop(150.0), conditions),
        "overload": virtual_level(one_server(0.01), OpenLoop(150.0), conditions),
        "even": virtual_level(constant(0.01), OpenLoop(100.0, cv=0.0), fixed),
        "stalls": virtual_level(stalling(1.0, 0.2, 0.004), ClosedLoop(2), fixed),
        "correlated": virtual_level(autocorrelated(0.01, 0.9), ClosedLoop(1), conditions),
        "few": virtual_level(constant(0.9), ClosedLoop(1), fixed),
        "none": virtual_level(constant(90.0), ClosedLoop(1), fixed),
        "failing": virtual_level(
            constant(0.01),
            ClosedLoop(4),
            fixed,
            fails=lambda number: "HTTP 503" * (number % 7 == 0),
        ),
        "late": virtual_level(constant(0.01), OpenLoop(100.0), fixed, late_ns=30_000_000),
    }
    nowhere = Environment("", "", "", "", {})
    found = document(nowhere, list(made.values()))["levels"]
    return dict(zip(made, found, strict=True))


CASES: tuple[Callable[[], object], ...] = (
    simulations, service_times, rates, weeks, plans, cases, races, levels,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_figures(case, update_golden) -> None:
    text = lines(short(case()), "") + "\n"
    expected = FIGURES / f"{case.__name__}.json"
    if update_golden:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
