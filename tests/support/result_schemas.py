"""JSON schemas of what is measured and planned, and every schema by the name of its command."""

from typing import Any

from support.cli_schemas import (
    ANY_OBJECT,
    BOOL,
    COUNT,
    FINDING,
    GPU_USE,
    NAME,
    NUMBER,
    SCHEMAS,
    TEXT,
    document,
    list_of,
    object_of,
    or_null,
)
from support.optimize.schema import OPTIMIZE

LEFT_OUT = SCHEMAS["build"]["properties"]["left_out"]
ERROR = SCHEMAS["error"]["properties"]["error"]


def _told(of: dict[str, Any], unit: str) -> dict[str, Any]:
    """A value whose name does not say its unit."""
    return {**of, "description": unit}


# An end of an interval may lie below 0.
_END: dict[str, Any] = {"type": "number"}
INTERVAL = or_null(object_of(value=_END, low=_END, high=_END))
_KEYS = ("p50", "p90", "p95", "p99", "p999", "mean")
LATENCY = object_of(**dict.fromkeys(_KEYS, INTERVAL), max=NUMBER)
SOME = or_null(NUMBER)
RATE = _told(NUMBER, "requests per second")
REPLICAS = object_of(min=COUNT, max=COUNT)
VERDICTS = ["VALID", "UNSTABLE", "SATURATED", "TOO FEW", "GENERATOR LATE"]
_SERVER_US = dict.fromkeys(
    ("queue_us", "compute_input_us", "compute_infer_us", "compute_output_us"), NUMBER
)
_BUSY = {"average_batch": or_null(_told(NUMBER, "rows")), "instance_busy_share": SOME}

ENVIRONMENT = object_of(
    started=NAME,
    tool=NAME,
    server=TEXT,
    endpoint=TEXT,
    machine=ANY_OBJECT,
    seed=COUNT,
    configurations=ANY_OBJECT,
    command=TEXT,
    headers=list_of(NAME),
    measured_on=TEXT,
)
LOAD = object_of(
    absent=("arrivals", "max_outstanding"),
    kind={"enum": ["concurrency", "rate", "schedule"]},
    value=_told(NUMBER, "requests under way, or requests per second"),
    arrivals=NAME,
    max_outstanding=or_null(COUNT),
    loop={"enum": ["closed", "open"]},
    share=_told(NUMBER, "0 to 1"),
)
MOMENT = object_of(
    at_s=NUMBER,
    seconds=_told(NUMBER, "s"),
    completed=COUNT,
    failed=COUNT,
    mean_us=SOME,
    p50_us=SOME,
    p99_us=SOME,
    outstanding=COUNT,
    warmup=BOOL,
)
HISTOGRAM = object_of(
    buckets=list_of(list_of(_told(COUNT, "index and count"))),
    sum_ns=NUMBER,
    min_ns=SOME,
    max_ns=SOME,
)
# Of a level whose begin was set: what merging needs.
RECORDING = object_of(
    begin_ns=COUNT,
    end_ns=COUNT,
    slot_ns=COUNT,
    left_out=_told(COUNT, "slots"),
    slots=list_of(
        object_of(
            completed=COUNT,
            failed=COUNT,
            outstanding={"type": "integer", "minimum": -1},
            sum_ns=COUNT,
            latencies=_told(TEXT, "index:count of each bucket"),
        )
    ),
    cpu_ns=COUNT,
    request_ns=COUNT,
    finished=COUNT,
    capped=COUNT,
    due=COUNT,
    unanswered=COUNT,
    percentile=NUMBER,
    width=NUMBER,
    confidence=NUMBER,
    server=or_null(ANY_OBJECT),
)
LEVEL = object_of(
    absent=("recording",),
    model=NAME,
    version=TEXT,
    protocol={"enum": ["http", "grpc"]},
    engine=TEXT,
    load=LOAD,
    batch=_told(COUNT, "rows"),
    verdict={"enum": VERDICTS},
    reason=NAME,
    duration_s=NUMBER,
    warmup_s=NUMBER,
    throughput_per_s=INTERVAL,
    inferences_per_s=INTERVAL,
    latency_us=LATENCY,
    latency_all_us=LATENCY,
    service_us=LATENCY,
    requests=object_of(
        sent=COUNT,
        ok=COUNT,
        failed=COUNT,
        failures_by_code=ANY_OBJECT,
        examples=ANY_OBJECT,
        unfinished=COUNT,
        unsent=COUNT,
    ),
    client=object_of(
        name={"enum": ["fast", "tritonclient"]},
        cpu_us_per_request=_told(NUMBER, "µs"),
        busy_share=NUMBER,
        processes=COUNT,
        lateness_us=object_of(p50=SOME, p99=SOME),
    ),
    server=or_null(
        object_of(
            absent=tuple(GPU_USE),
            **_SERVER_US,
            **_BUSY,
            **GPU_USE,
            executions=COUNT,
            cache_hit_share=SOME,
            cpu_cores=SOME,
            memory_bytes=SOME,
            use_source=TEXT,
        )
    ),
    attribution=or_null(
        object_of(
            total_us=NUMBER,
            parts_us=ANY_OBJECT,
            composing=list_of(object_of(model=NAME, requests=COUNT, **_SERVER_US, **_BUSY)),
        )
    ),
    advice=list_of(object_of(sentence=NAME, command=TEXT)),
    timeline=list_of(MOMENT),
    histograms=object_of(
        absent=("all_ns", "service_ns"),
        latency_ns=HISTOGRAM,
        lateness_ns=HISTOGRAM,
        all_ns=HISTOGRAM,
        service_ns=HISTOGRAM,
    ),
    recording=RECORDING,
)
ANSWER = object_of(
    model=NAME,
    question={"enum": ["goal", "knee"]},
    goal=TEXT,
    kind={"enum": ["rate", "concurrency"]},
    value=SOME,
    beyond=SOME,
    undecided=TEXT,
    capacity_per_s=NUMBER,
    throughput_per_s=INTERVAL,
    p99_us=INTERVAL,
)
_FIGURE = or_null(_told(NUMBER, "µs, per second, or a share, by `metric`"))
COMPARISON = object_of(
    model=NAME,
    load=NAME,
    metric=NAME,
    before=_FIGURE,
    after=_FIGURE,
    ratio=INTERVAL,
    change={"enum": ["better", "worse", "no measurable difference", "not measured"]},
)

OBSERVED = object_of(
    name=NAME,
    seconds=_told(NUMBER, "s"),
    rate=object_of(
        mean=RATE,
        peak=RATE,
        intent_average=or_null(RATE),
        intent_peak=or_null(RATE),
        expected_now=or_null(RATE),
    ),
    requests=COUNT,
    failures=COUNT,
    failure_share=NUMBER,
    average_batch=or_null(_told(NUMBER, "rows")),
    queue_us=SOME,
    compute_us=SOME,
    request_us=SOME,
    busy=or_null(_told(NUMBER, "0 to 1")),
    instances=or_null(COUNT),
    servers=COUNT,
    restarts=COUNT,
    service=TEXT,
    steps=list_of(object_of(begin_s=NUMBER, seconds=_told(NUMBER, "s"), rate=RATE)),
)

MACHINE = {
    "machine": NAME,
    "provider": TEXT,
    "region": TEXT,
    "usd_per_hour": NUMBER,
    "price_date": TEXT,
    "price_source": TEXT,
}
RANGE = object_of(value=NUMBER, low=NUMBER, high=NUMBER)
SERVICE = object_of(
    name=NAME,
    models=list_of(NAME),
    cpus=_told(COUNT, "cores"),
    memory_bytes=COUNT,
    instances=COUNT,
    threads=COUNT,
    split=list_of(
        object_of(
            model=NAME, instances=COUNT, threads=COUNT, max_batch_size=COUNT, queue_delay_us=SOME
        )
    ),
    policy=NAME,
    replicas=object_of(min=COUNT, max=COUNT, mean=NUMBER),
    endpoints=_told(COUNT, "of Azure ML, which share the replicas"),
    hourly=list_of(_told(COUNT, "replicas, by hour of the week")),
    rate_per_s=NUMBER,
    concurrency=COUNT,
    latency=list_of(
        object_of(
            model=NAME,
            percentile=NUMBER,
            us=_told(RANGE, "µs"),
            goal_us=NUMBER,
            stated=BOOL,
            late_share=NUMBER,
        )
    ),
)
OPTION = object_of(
    **MACHINE,
    replicas=REPLICAS,
    services=list_of(SERVICE),
    usd_per_month=SOME,
    static_usd_per_month=SOME,
    usd_per_million=SOME,
    p99_us=or_null(RANGE),
    utilization=or_null(_told(object_of(mean=NUMBER, peak=NUMBER), "0 to 1")),
    spare=or_null(_told({"type": "number"}, "share of the cores")),
    binding=NAME,
    lower_bound_ratio=SOME,
    feasible=BOOL,
    reason=TEXT,
    estimate={"enum": ["simulated", "bound"]},
)
GPU_OPTION = object_of(
    **MACHINE,
    gpu=NAME,
    gpus=COUNT,
    replicas=REPLICAS,
    usd_per_month=SOME,
    execution_ms=NUMBER,
    rows=ANY_OBJECT,
    unpredicted=list_of(NAME),
    estimate=NAME,
)
LANGUAGE_MODEL = object_of(
    model=NAME,
    gpus=COUNT,
    engines=COUNT,
    memory_share=_told(NUMBER, "0 to 1"),
    weight_bytes=or_null(COUNT),
    token_bytes=or_null(COUNT),
    max_tokens=or_null(COUNT),
    size_from=TEXT,
    cards=list_of(
        object_of(
            gpu=NAME,
            gpus=or_null(COUNT),
            fits=BOOL,
            cache_bytes=or_null(COUNT),
            tokens=or_null(COUNT),
            requests=or_null(COUNT),
        )
    ),
    measure=NAME,
)

DOCUMENTS: dict[str, dict[str, Any]] = {
    **SCHEMAS,
    "optimize": OPTIMIZE,
    "restart": SCHEMAS["up"],
    "client": document(
        model=NAME,
        language={"enum": ["curl", "python", "python-async", "openapi"]},
        protocol={"enum": ["http", "grpc"]},
        text=NAME,
    ),
    "explain TG…": document(
        id=NAME, title=NAME, fix=NAME, meaning=TEXT, examples=list_of(NAME)
    ),
    "export": document(
        target=NAME,
        written=BOOL,
        drift=BOOL,
        services=list_of(
            object_of(
                name=NAME,
                models=list_of(NAME),
                image=NAME,
                cores=or_null(COUNT),
                cpus=or_null(_told(COUNT, "hardware threads")),
                memory_bytes=or_null(COUNT),
                shared_memory_bytes=COUNT,
                threads=COUNT,
                replicas=REPLICAS,
                queue_target_us=COUNT,
                concurrency=COUNT,
            )
        ),
        files=list_of(NAME),
        differences=list_of(object_of(path=NAME, kind=NAME)),
        findings=list_of(FINDING),
    ),
    "observe": document(
        source={"anyOf": [NAME, list_of(NAME)]},
        models=list_of(OBSERVED),
        changes=list_of(object_of(model=NAME, rate=object_of(average=RATE, peak=RATE))),
        written=or_null(NAME),
        csv=or_null(NAME),
        findings=list_of(FINDING),
    ),
    "plan": document(
        options=list_of(OPTION),
        considered=COUNT,
        traffic=list_of(
            object_of(model=NAME, mean_per_s=NUMBER, peak_per_s=NUMBER, pattern=NAME)
        ),
        lower_bound_usd_per_month=SOME,
        nearest=list_of(object_of(change=NAME, usd_per_month=NUMBER, machine=NAME)),
        gpus=list_of(GPU_OPTION),
        language_models=list_of(LANGUAGE_MODEL),
        assumptions=ANY_OBJECT,
        plan_file=or_null(NAME),
        left_out=LEFT_OUT,
        findings=list_of(FINDING),
    ),
    "probe": document(
        absent=("environment", "answers", "comparisons", "compared", "interrupted", "error"),
        kind={"const": "tritongen.probe"},
        environment=ENVIRONMENT,
        levels=list_of(LEVEL),
        answers=list_of(ANSWER),
        comparisons=list_of(COMPARISON),
        compared=list_of(NAME),
        interrupted={"const": True},
        error=ERROR,
    ),
}  # fmt: skip
