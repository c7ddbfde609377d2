"""What is known of each Triton backend: one file a backend, one literal registry."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tritongen.domain.backends.fil import FIL
from tritongen.domain.backends.onnxruntime import ONNXRUNTIME
from tritongen.domain.backends.openvino import OPENVINO
from tritongen.domain.backends.python import PYTHON
from tritongen.domain.backends.pytorch import PYTORCH
from tritongen.domain.backends.rules import (
    Artefact,
    BackendRules,
    BatchSupport,
    ParameterRule,
    ValueKind,
)
from tritongen.domain.backends.settings import Setting
from tritongen.domain.backends.tensorflow import TENSORFLOW
from tritongen.domain.backends.tensorrt import TENSORRT
from tritongen.domain.backends.threads import ThreadRule, ThreadScope, threads_each
from tritongen.domain.facts import ModelFormat

__all__ = [
    "BACKENDS",
    "Artefact",
    "BackendRules",
    "BatchSupport",
    "ParameterRule",
    "Setting",
    "ThreadRule",
    "ThreadScope",
    "ValueKind",
    "artefact_for",
    "backend_for",
    "every_flavour",
    "threads_each",
]

BACKENDS: Mapping[str, BackendRules] = MappingProxyType(
    {
        "onnxruntime": ONNXRUNTIME,
        "pytorch": PYTORCH,
        "openvino": OPENVINO,
        "fil": FIL,
        "python": PYTHON,
        "tensorrt": TENSORRT,
        "tensorflow": TENSORFLOW,
    }
)


def every_flavour() -> Iterator[BackendRules]:
    """Every entry of the registry, each followed by its other platforms and runtimes."""
    for rules in BACKENDS.values():
        yield rules
        yield from rules.flavours


def backend_for(format_: ModelFormat) -> BackendRules | None:
    """The rules under which a format is served, None when no entry does."""
    return next((rules for rules in every_flavour() if format_ in rules.formats), None)


def artefact_for(format_: ModelFormat) -> Artefact | None:
    """How a format is laid out in a repository, None when no backend loads it."""
    rules = backend_for(format_)
    return rules.artefact(format_) if rules is not None else None
