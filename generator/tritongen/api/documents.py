"""The documents for programs: what `--format json` prints and `to_dict` returns."""

from collections.abc import Iterable, Mapping
from typing import Any

from tritongen.errors import TritongenError
from tritongen.model.codec import encode, view
from tritongen.model.findings import Finding

SCHEMA_VERSION = 1


def whole_document(document: Mapping[str, object]) -> dict[str, Any]:
    """One object, whose values may be dataclasses, as plain values with its schema version."""
    whole: dict[str, Any] = encode({"schema_version": SCHEMA_VERSION, **document}, whole=True)
    return whole


def left_out_json(items: Iterable[Finding]) -> list[dict[str, object]]:
    """Models that are not served as JSON, each with the error that says why."""
    return [{"name": item.model, **view(item, "code", "message", "fix")} for item in items]


def findings_json(items: Iterable[Finding]) -> list[dict[str, object]]:
    """Findings as JSON, each with its place beside the rest."""
    return [
        {
            **view(item, "code", "severity", "message", "fix", "model"),
            **view(item.location, "path", "line", "field"),
        }
        for item in items
    ]


def error_json(problem: TritongenError) -> dict[str, object]:
    """An error as JSON."""
    return {
        "code": problem.code,
        "message": problem.what,
        "where": problem.where,
        "fix": problem.fix,
        "details": list(problem.details),
    }
