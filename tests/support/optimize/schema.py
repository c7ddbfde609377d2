"""The JSON schema of `tritongen optimize --format json`."""

from typing import Any

from support.cli_schemas import BOOL, CODE, COUNT, FINDING, NAME, NUMBER, TEXT


def _object(**fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _or_null(of: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "null"}, of]}


ANY: dict[str, Any] = {"type": "object"}
SPEED = {"value": NUMBER, "low": NUMBER, "high": NUMBER}
PROOF = _object(
    inputs=COUNT,
    max_abs_diff=NUMBER,
    tolerance=NUMBER,
    rows_equal={"type": ["boolean", "null"]},
)
STEP = _object(
    name=NAME,
    kind={"enum": ["fix", "graph", "quantize", "half", "parallel", "accelerator"]},
    applied=BOOL,
    reason=NAME,
    proof=_or_null(PROOF),
    cures=_list(CODE),
    renamed=ANY,
    overlay=ANY,
)
ACCURACY = _object(
    metric=NAME,
    original={"type": ["number", "null"]},
    variant={"type": ["number", "null"]},
    drop={"type": ["number", "null"]},
    threshold=NUMBER,
    accepted=BOOL,
    rows=COUNT,
    basis=TEXT,
)
VARIANT = _object(
    name=NAME,
    path={"type": ["string", "null"]},
    size_bytes=COUNT,
    verdict={
        "enum": ["accepted", "refused", "slower", "no_gain", "ungated", "not_measured"],
    },
    reason=NAME,
    accuracy=_or_null(ACCURACY),
    speedup=_or_null(_object(**SPEED)),
    speedups=_list(_object(**SPEED, batch=COUNT, threads=COUNT)),
    rows_equal={"type": ["boolean", "null"]},
    recipe=ANY,
)
MODEL = _object(
    name=NAME,
    steps=_list(STEP),
    variants=_list(VARIANT),
    chosen={"type": ["string", "null"]},
    findings=_list(FINDING),
)
OPTIMIZE = _object(schema_version={"const": 1}, models=_list(MODEL))
