"""The JSON schema of `tritongen optimize --format json`."""

from typing import Any

from support.cli_schemas import (
    BOOL,
    CODE,
    COUNT,
    FINDING,
    NAME,
    NUMBER,
    TEXT,
    list_of,
    object_of,
    or_null,
)

ANY: dict[str, Any] = {"type": "object"}
SPEED = {"value": NUMBER, "low": NUMBER, "high": NUMBER}
PROOF = object_of(
    inputs=COUNT,
    max_abs_diff=NUMBER,
    tolerance=NUMBER,
    rows_equal={"type": ["boolean", "null"]},
)
STEP = object_of(
    name=NAME,
    kind={
        "enum": ["fix", "graph", "quantize", "half", "parallel", "accelerator", "convert"],
    },
    applied=BOOL,
    reason=NAME,
    proof=or_null(PROOF),
    cures=list_of(CODE),
    renamed=ANY,
    overlay=ANY,
)
ACCURACY = object_of(
    metric=NAME,
    original={"type": ["number", "null"]},
    variant={"type": ["number", "null"]},
    drop={"type": ["number", "null"]},
    threshold=NUMBER,
    accepted=BOOL,
    rows=COUNT,
    basis=TEXT,
)
VARIANT = object_of(
    name=NAME,
    path={"type": ["string", "null"]},
    size_bytes=COUNT,
    verdict={
        "enum": ["accepted", "refused", "slower", "no_gain", "ungated", "not_measured"],
    },
    reason=NAME,
    accuracy=or_null(ACCURACY),
    speedup=or_null(object_of(**SPEED)),
    speedups=list_of(object_of(**SPEED, batch=COUNT, threads=COUNT)),
    rows_equal={"type": ["boolean", "null"]},
    recipe=ANY,
)
MODEL = object_of(
    name=NAME,
    steps=list_of(STEP),
    variants=list_of(VARIANT),
    chosen={"type": ["string", "null"]},
    findings=list_of(FINDING),
)
OPTIMIZE = object_of(schema_version={"const": 1}, models=list_of(MODEL))
