"""Which library runs which format: one entry a format."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tritongen.domain.facts import ModelFormat
from tritongen.inspection.trial.runtime import Runtime


def _onnx() -> Runtime:
    from tritongen.inspection.trial.onnx_runtime import OnnxRuntime

    return OnnxRuntime()


RUNTIMES: Mapping[ModelFormat, Callable[[], Runtime]] = MappingProxyType({ModelFormat.ONNX: _onnx})


def runtime_for(format_: ModelFormat) -> Runtime:
    """The library that runs a format.

    Raises:
        KeyError: no entry runs it; ask `RUNTIMES` first.
        EnvironmentProblem: TG006, the library is not installed.
    """
    return RUNTIMES[format_]()
