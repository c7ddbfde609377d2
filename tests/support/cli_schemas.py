"""JSON schemas of what each command prints with ``--format json``."""

from typing import Any


def _object(absent: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in absent],
        "additionalProperties": False,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


TEXT: dict[str, Any] = {"type": "string"}
NAME: dict[str, Any] = {"type": "string", "minLength": 1}
BOOL: dict[str, Any] = {"type": "boolean"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
CODE: dict[str, Any] = {"type": "string", "pattern": "^TG[0-9]{3}$"}
ENDPOINT: dict[str, Any] = {"type": "string", "pattern": "^[^:/]+:[0-9]+$"}
ANY_OBJECT: dict[str, Any] = {"type": "object"}

FINDING = _object(
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
TENSOR = _object(
    name=NAME,
    dtype={"type": ["string", "null"]},
    shape={"anyOf": [{"type": "null"}, _list({"type": ["integer", "string", "null"]})]},
    kind=NAME,
    declared_type=TEXT,
    optional=BOOL,
)
GRAPH = _object(operators=COUNT, critical_path=COUNT, width=COUNT)
ONNX = _object(
    ir_version=COUNT,
    opsets=ANY_OBJECT,
    producer=TEXT,
    custom_domains=_list(TEXT),
    external_files=_list(TEXT),
    quantized_operators=ANY_OBJECT,
    dynamic_quantization=BOOL,
    one_class_votes=BOOL,
)
INSPECTED = _object(
    name=NAME,
    path=NAME,
    format=NAME,
    servable=BOOL,
    batchable=BOOL,
    batch_reason=NAME,
    versions=_list(COUNT),
    inputs=_list(TENSOR),
    outputs=_list(TENSOR),
    parameters=COUNT,
    weight_bytes=COUNT,
    precisions=ANY_OBJECT,
    callees=_list(NAME),
    graph={"anyOf": [{"type": "null"}, GRAPH]},
    onnx={"anyOf": [{"type": "null"}, ONNX]},
    axes=_list(
        _object(
            input=NAME,
            axis=COUNT,
            symbol=TEXT,
            verdict={"enum": ["free", "bounded", "multiple", "equal", "fixed", "untested"]},
            bound={"anyOf": [{"type": "null"}, COUNT, NAME]},
            tried=_list(COUNT),
        )
    ),
    evidence={
        "anyOf": [
            {"type": "null"},
            _object(
                runtime=TEXT,
                runtime_version=TEXT,
                target_runtime_version=TEXT,
                device={"enum": ["cpu"]},
                samples={"enum": ["declared", "made-up"]},
                rows_tried=_list(COUNT),
            ),
        ]
    },
    findings=_list(FINDING),
    cures=_list(_object(code=CODE, fix=NAME, summary=NAME)),
)
BUILT = _object(
    name=NAME,
    config=NAME,
    max_batch_size=COUNT,
    instances=COUNT,
    threads=COUNT,
    dynamic_batching=BOOL,
    variant={"type": ["string", "null"]},
)
READY = _object(name=NAME, ready=BOOL, reason=TEXT)
ENDPOINTS = _object(http=ENDPOINT, grpc=ENDPOINT, metrics=ENDPOINT)
VERIFIED = _object(
    name=NAME,
    ok=BOOL,
    verdict={"enum": ["equal", "different", "not-compared", "stale"]},
    outputs=_list(_object(name=NAME, max_abs_diff=NUMBER)),
    reason=NAME,
)
EXPLAINED = _object(
    field=NAME,
    value=TEXT,
    source={"enum": ["model", "trial", "intent", "target", "measured", "rule"]},
    reason=NAME,
    numbers=ANY_OBJECT,
)


def _document(**fields: Any) -> dict[str, Any]:
    return _object(schema_version={"const": 1}, **fields)


_LEFT_OUT = _list(_object(name=NAME, code=CODE, message=NAME, fix=NAME))
SCHEMAS: dict[str, dict[str, Any]] = {
    "init": _document(path=NAME, models=_list(NAME), text=NAME, written=BOOL),
    "init --schema": _document(schema=ANY_OBJECT),
    "inspect": _document(models=_list(INSPECTED), findings=_list(FINDING)),
    "build": _document(
        written=BOOL,
        drift=BOOL,
        cores=COUNT,
        threads=COUNT,
        models=_list(BUILT),
        refused=_list(_object(name=NAME, codes=_list(CODE))),
        left_out=_LEFT_OUT,
        differences=_list(_object(path=NAME, kind=NAME)),
        kept=_list(_object(path=NAME, **{"as": NAME})),
        findings=_list(FINDING),
    ),
    "check": _document(
        findings=_list(FINDING),
        summary=_object(errors=COUNT, warnings=COUNT, infos=COUNT),
        ignored=COUNT,
    ),
    "explain": _document(model=NAME, values=_list(EXPLAINED), findings=_list(FINDING)),
    "up": _document(
        runtime=NAME,
        reason=NAME,
        endpoints=ENDPOINTS,
        models=_list(READY),
        log=NAME,
        image=TEXT,
        docker_run=TEXT,
    ),
    "status": _document(
        runtime=NAME,
        version=NAME,
        endpoints=ENDPOINTS,
        repository=NAME,
        models=_list(READY),
        log=NAME,
        drift=_list(FINDING),
    ),
    "doctor": _document(
        runtime=NAME,
        reason=NAME,
        checks=_list(
            _object(
                name=NAME,
                ok=BOOL,
                severity={"enum": ["error", "warning", "info"]},
                message=NAME,
                fix=TEXT,
                code={"type": "string", "pattern": "^(TG[0-9]{3})?$"},
            )
        ),
    ),
    "verify": _document(models=_list(VERIFIED)),
    "logs": _document(lines=_list(TEXT)),
    "down": _document(stopped=_list(NAME)),
    "error": _document(
        error=_object(code=CODE, message=NAME, where=TEXT, fix=NAME, details=_list(TEXT))
    ),
}

NULL: dict[str, Any] = {"type": "null"}
SPAN = {"anyOf": [NULL, _object(value=NUMBER, low=NUMBER, high=NUMBER)]}
CHOICE: dict[str, Any] = {
    "key": NAME,
    "instances": COUNT,
    "threads": COUNT,
    "max_batch_size": COUNT,
    "queue_delay_us": {"type": ["integer", "null"]},
    "inter_op": COUNT,
    "memory_arena": {"type": "boolean"},
}
FIGURES = _object(
    **CHOICE,
    throughput_per_s=SPAN,
    p99_us=SPAN,
    load={"type": ["string", "null"]},
    rounds=COUNT,
)
EVALUATED = _object(
    **CHOICE,
    load=NAME,
    fate={
        "enum": [
            "best", "tied", "running", "behind", "infeasible", "failed", "baseline", "predicted"
        ]
    },
    predicted={
        "anyOf": [
            NULL,
            _object(
                throughput_per_s={"type": ["number", "null"]},
                latency_us={"type": ["number", "null"]},
            ),
        ]
    },
    throughput_per_s=SPAN,
    latency_us=SPAN,
    rounds=COUNT,
    why=TEXT,
)  # fmt: skip
OFFER = _object(name=NAME, change=NAME, throughput_ratio=SPAN, latency_ratio=SPAN, reason=TEXT)
RATE = _object(
    rate_per_s=NUMBER,
    requests=COUNT,
    latency_us=_object(p50=NUMBER, p90=NUMBER, p95=NUMBER, p99=NUMBER, p999=NUMBER),
)
TUNED = _object(
    name=NAME,
    goal=NAME,
    protocol={"enum": ["http", "grpc"]},
    met=BOOL,
    cores=COUNT,
    default=FIGURES,
    best=FIGURES,
    before=_object(**CHOICE),
    evaluated=_list(EVALUATED),
    rates=_list(RATE),
    pareto=_list(NAME),
    nearest=_list(NAME),
    verdict=NAME,
    reason=NAME,
    notes=_list(NAME),
    variants=_list(OFFER),
    kept=BOOL,
    recorded=BOOL,
    measured_on=TEXT,
    diff=_list(TEXT),
    wall_s=NUMBER,
)
SCHEMAS["tune"] = _document(
    models=_list(TUNED),
    wall_s=NUMBER,
    runtime=NAME,
    server=TEXT,
    machine=ANY_OBJECT,
    cores=COUNT,
    seed=COUNT,
    together={"anyOf": [NULL, _object(feasible=BOOL, models=ANY_OBJECT)]},
    notes=_list(NAME),
    interrupted={"type": ["integer", "null"]},
    met=BOOL,
    left_out=_LEFT_OUT,
)
