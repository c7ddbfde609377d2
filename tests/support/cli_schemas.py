"""JSON schemas of what each command prints with ``--format json``."""

from typing import Any


def object_of(absent: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in absent],
        "additionalProperties": False,
    }


def list_of(of: dict[str, Any]) -> dict[str, Any]:
    """A list of values of one form."""
    return {"type": "array", "items": of}


def or_null(of: dict[str, Any]) -> dict[str, Any]:
    """A value that may be unknown."""
    return {"anyOf": [{"type": "null"}, of]}


TEXT: dict[str, Any] = {"type": "string"}
NAME: dict[str, Any] = {"type": "string", "minLength": 1}
BOOL: dict[str, Any] = {"type": "boolean"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
CODE: dict[str, Any] = {"type": "string", "pattern": "^TG[0-9]{3}$"}
ENDPOINT: dict[str, Any] = {"type": "string", "pattern": "^[^:/]+:[0-9]+$"}
ANY_OBJECT: dict[str, Any] = {"type": "object"}

FINDING = object_of(
    absent=("title",),
    code=CODE,
    title=NAME,
    severity={"enum": ["error", "warning", "info"]},
    message=NAME,
    fix=NAME,
    model=TEXT,
    path=TEXT,
    line=COUNT,
    field=TEXT,
)
TENSOR = object_of(
    name=NAME,
    dtype={"type": ["string", "null"]},
    shape=or_null(list_of({"type": ["integer", "string", "null"]})),
    kind=NAME,
    declared_type=TEXT,
    optional=BOOL,
)
GRAPH = object_of(operators=COUNT, critical_path=COUNT, width=COUNT)
ONNX = object_of(
    ir_version=COUNT,
    opsets=ANY_OBJECT,
    producer=TEXT,
    custom_domains=list_of(TEXT),
    external_files=list_of(TEXT),
    quantized_operators=ANY_OBJECT,
    dynamic_quantization=BOOL,
    one_class_votes=BOOL,
)
INSPECTED = object_of(
    name=NAME,
    path=NAME,
    format=NAME,
    servable=BOOL,
    batchable=BOOL,
    batch_reason=NAME,
    versions=list_of(COUNT),
    inputs=list_of(TENSOR),
    outputs=list_of(TENSOR),
    parameters=COUNT,
    weight_bytes=COUNT,
    precisions=ANY_OBJECT,
    callees=list_of(NAME),
    graph=or_null(GRAPH),
    onnx=or_null(ONNX),
    axes=list_of(
        object_of(
            input=NAME,
            axis=COUNT,
            symbol=TEXT,
            verdict={"enum": ["free", "bounded", "multiple", "equal", "fixed", "untested"]},
            bound={"anyOf": [{"type": "null"}, COUNT, NAME]},
            tried=list_of(COUNT),
        )
    ),
    evidence=or_null(
        object_of(
            runtime=TEXT,
            runtime_version=TEXT,
            target_runtime_version=TEXT,
            device={"enum": ["cpu"]},
            samples={"enum": ["declared", "made-up"]},
            rows_tried=list_of(COUNT),
        )
    ),
    findings=list_of(FINDING),
    cures=list_of(object_of(code=CODE, fix=NAME, summary=NAME)),
)
BUILT = object_of(
    name=NAME,
    config=NAME,
    max_batch_size=COUNT,
    instances=COUNT,
    threads=COUNT,
    dynamic_batching=BOOL,
    variant={"type": ["string", "null"]},
)
READY = object_of(name=NAME, ready=BOOL, reason=TEXT)
ENDPOINTS = object_of(http=ENDPOINT, grpc=ENDPOINT, metrics=ENDPOINT)
VERIFIED = object_of(
    absent=("server",),
    name=NAME,
    ok=BOOL,
    verdict={"enum": ["equal", "different", "not-compared", "stale"]},
    outputs=list_of(object_of(name=NAME, max_abs_diff=NUMBER)),
    reason=NAME,
    server=NAME,
)
EXPLAINED = object_of(
    field=NAME,
    value=TEXT,
    source={"enum": ["model", "trial", "intent", "target", "measured", "rule"]},
    reason=NAME,
    numbers=ANY_OBJECT,
)


def document(absent: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """A whole document, of which the absent fields may be missing."""
    return object_of(absent, schema_version={"const": 1}, **fields)


_LEFT_OUT = list_of(object_of(name=NAME, code=CODE, message=NAME, fix=NAME))
SCHEMAS: dict[str, dict[str, Any]] = {
    "init": document(
        absent=("git",),
        path=NAME,
        models=list_of(NAME),
        text=NAME,
        written=BOOL,
        git=list_of(NAME),
    ),
    "init --step": document(name=NAME, files=ANY_OBJECT, pipeline=NAME, written=BOOL),
    "init --schema": document(schema=ANY_OBJECT),
    "inspect": document(models=list_of(INSPECTED), findings=list_of(FINDING)),
    "build": document(
        written=BOOL,
        drift=BOOL,
        cores=COUNT,
        threads=COUNT,
        models=list_of(BUILT),
        refused=list_of(object_of(name=NAME, codes=list_of(CODE))),
        left_out=_LEFT_OUT,
        differences=list_of(object_of(path=NAME, kind=NAME)),
        kept=list_of(object_of(path=NAME, **{"as": NAME})),
        findings=list_of(FINDING),
    ),
    "check": document(
        findings=list_of(FINDING),
        summary=object_of(errors=COUNT, warnings=COUNT, infos=COUNT),
        ignored=COUNT,
    ),
    "explain": document(model=NAME, values=list_of(EXPLAINED), findings=list_of(FINDING)),
    "up": document(
        runtime=NAME,
        reason=NAME,
        endpoints=ENDPOINTS,
        models=list_of(READY),
        log=NAME,
        image=TEXT,
        docker_run=TEXT,
    ),
    "up --dry-run": document(docker_run=NAME, image=NAME, reason=NAME),
    "status": document(
        runtime=NAME,
        version=NAME,
        endpoints=ENDPOINTS,
        repository=NAME,
        models=list_of(READY),
        log=NAME,
        drift=list_of(FINDING),
    ),
    "doctor": document(
        runtime=NAME,
        reason=NAME,
        checks=list_of(
            object_of(
                name=NAME,
                ok=BOOL,
                severity={"enum": ["error", "warning", "info"]},
                message=NAME,
                fix=TEXT,
                code={"type": "string", "pattern": "^(TG[0-9]{3})?$"},
            )
        ),
    ),
    "verify": document(models=list_of(VERIFIED)),
    "logs": document(lines=list_of(TEXT)),
    "down": document(stopped=list_of(NAME)),
    "error": document(
        error=object_of(code=CODE, message=NAME, where=TEXT, fix=NAME, details=list_of(TEXT))
    ),
}

SPAN = or_null(object_of(value=NUMBER, low=NUMBER, high=NUMBER))
CHOICE: dict[str, Any] = {
    "key": NAME,
    "instances": COUNT,
    "threads": COUNT,
    "max_batch_size": COUNT,
    "queue_delay_us": {"type": ["integer", "null"]},
    "inter_op": COUNT,
    "memory_arena": {"type": "boolean"},
}
# Of a server with GPUs alone.
GPU_USE: dict[str, Any] = {
    "gpu_utilization": or_null({**NUMBER, "description": "0 to 1"}),
    "gpu_memory_bytes": or_null(COUNT),
    "gpu_memory_total_bytes": or_null(COUNT),
}
FIGURES = object_of(
    absent=tuple(GPU_USE),
    **CHOICE,
    **GPU_USE,
    throughput_per_s=SPAN,
    p99_us=SPAN,
    load={"type": ["string", "null"]},
    rounds=COUNT,
)
EVALUATED = object_of(
    absent=tuple(GPU_USE),
    **CHOICE,
    **GPU_USE,
    load=NAME,
    fate={
        "enum": [
            "best", "tied", "running", "behind", "infeasible", "failed", "baseline", "predicted"
        ]
    },
    predicted=or_null(
        object_of(
            throughput_per_s={"type": ["number", "null"]},
            latency_us={"type": ["number", "null"]},
        )
    ),
    throughput_per_s=SPAN,
    latency_us=SPAN,
    rounds=COUNT,
    why=TEXT,
)  # fmt: skip
OFFER = object_of(name=NAME, change=NAME, throughput_ratio=SPAN, latency_ratio=SPAN, reason=TEXT)
RATE = object_of(
    rate_per_s=NUMBER,
    requests=COUNT,
    latency_us=object_of(p50=NUMBER, p90=NUMBER, p95=NUMBER, p99=NUMBER, p999=NUMBER),
)
TUNED = object_of(
    name=NAME,
    goal=NAME,
    protocol={"enum": ["http", "grpc"]},
    met=BOOL,
    cores=COUNT,
    default=FIGURES,
    best=FIGURES,
    before=object_of(**CHOICE),
    evaluated=list_of(EVALUATED),
    rates=list_of(RATE),
    pareto=list_of(NAME),
    nearest=list_of(NAME),
    verdict=NAME,
    reason=NAME,
    notes=list_of(NAME),
    variants=list_of(OFFER),
    kept=BOOL,
    recorded=BOOL,
    measured_on=TEXT,
    diff=list_of(TEXT),
    wall_s=NUMBER,
)
SCHEMAS["tune"] = document(
    models=list_of(TUNED),
    wall_s=NUMBER,
    runtime=NAME,
    server=TEXT,
    machine=ANY_OBJECT,
    cores=COUNT,
    seed=COUNT,
    together=or_null(object_of(feasible=BOOL, models=ANY_OBJECT)),
    notes=list_of(NAME),
    interrupted={"type": ["integer", "null"]},
    met=BOOL,
    left_out=_LEFT_OUT,
)
