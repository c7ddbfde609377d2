"""What is known of each Triton backend: one file a backend, one literal registry."""

from collections.abc import Mapping
from types import MappingProxyType

from tritongen.domain.backends.onnxruntime import ONNXRUNTIME
from tritongen.domain.backends.rules import (
    BackendRules,
    ParameterRule,
    ThreadRule,
    ThreadScope,
    ValueKind,
)
from tritongen.domain.facts import ModelFormat

__all__ = [
    "BACKENDS",
    "BackendRules",
    "ParameterRule",
    "ThreadRule",
    "ThreadScope",
    "ValueKind",
    "backend_for",
]

BACKENDS: Mapping[str, BackendRules] = MappingProxyType({"onnxruntime": ONNXRUNTIME})


def backend_for(format_: ModelFormat) -> BackendRules | None:
    """The backend that serves a format, None when no entry does."""
    return next((rules for rules in BACKENDS.values() if format_ in rules.formats), None)
