"""What is known of each Triton backend: one file a backend, one literal registry."""

from collections.abc import Iterator, Mapping

from tritongen.model.backends.backend_rules import (
    Artefact,
    BackendRules,
    BatchSupport,
    ParameterRule,
    ThreadRule,
    ThreadScope,
    ValueKind,
    threads_each,
)
from tritongen.model.backends.dali import DALI
from tritongen.model.backends.fil import FIL
from tritongen.model.backends.onnxruntime import ONNXRUNTIME
from tritongen.model.backends.openvino import OPENVINO
from tritongen.model.backends.python import PYTHON
from tritongen.model.backends.pytorch import PYTORCH
from tritongen.model.backends.tensorflow import TENSORFLOW
from tritongen.model.backends.tensorrt import TENSORRT
from tritongen.model.backends.tensorrtllm import TENSORRTLLM
from tritongen.model.backends.vllm import VLLM
from tritongen.model.facts import ModelFormat

__all__ = [
    "BACKENDS",
    "BackendRules",
    "BatchSupport",
    "ParameterRule",
    "ThreadRule",
    "ThreadScope",
    "ValueKind",
    "artefact_for",
    "backend_for",
    "every_flavour",
    "threads_each",
]

BACKENDS: Mapping[str, BackendRules] = {
    "onnxruntime": ONNXRUNTIME,
    "pytorch": PYTORCH,
    "openvino": OPENVINO,
    "fil": FIL,
    "python": PYTHON,
    "tensorrt": TENSORRT,
    "tensorflow": TENSORFLOW,
    "dali": DALI,
    "vllm": VLLM,
    "tensorrtllm": TENSORRTLLM,
}


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
