"""Which library runs which format: one entry a format."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tritongen.model.facts import ModelFormat
from tritongen.trial.runtime import DeclaredInterface, ModelRuntime

_Maker = Callable[[ModelFormat, DeclaredInterface], ModelRuntime]


def _onnx(_format: ModelFormat, _interface: DeclaredInterface) -> ModelRuntime:
    from tritongen.trial.onnx_runtime import OnnxRuntime

    return OnnxRuntime()


def _torch(format_: ModelFormat, interface: DeclaredInterface) -> ModelRuntime:
    from tritongen.trial.torch_runtime import Torch

    return Torch(interface, packages=format_ is ModelFormat.TORCH_AOTI)


def _openvino(_format: ModelFormat, _interface: DeclaredInterface) -> ModelRuntime:
    from tritongen.trial.openvino_runtime import OpenVino

    return OpenVino()


def _forest(format_: ModelFormat, interface: DeclaredInterface) -> ModelRuntime:
    from tritongen.trial.tree_runtime import Treelite

    return Treelite(format_, interface)


def _python(_format: ModelFormat, interface: DeclaredInterface) -> ModelRuntime:
    from tritongen.trial.python_runtime import PythonModels

    return PythonModels(interface)


RUNTIMES: Mapping[ModelFormat, _Maker] = MappingProxyType(
    {
        ModelFormat.ONNX: _onnx,
        ModelFormat.TORCHSCRIPT: _torch,
        ModelFormat.TORCH_AOTI: _torch,
        ModelFormat.OPENVINO: _openvino,
        ModelFormat.XGBOOST_JSON: _forest,
        ModelFormat.XGBOOST_UBJ: _forest,
        ModelFormat.XGBOOST_BINARY: _forest,
        ModelFormat.LIGHTGBM: _forest,
        ModelFormat.TREELITE: _forest,
        ModelFormat.PYTHON: _python,
    }
)


def runtime_for(format_: ModelFormat, interface: DeclaredInterface | None = None) -> ModelRuntime:
    """The library that runs a format.

    Args:
        format_: of the model.
        interface: what the file does not say of itself; None where it says everything.

    Raises:
        KeyError: no entry runs it; ask `RUNTIMES` first.
        EnvironmentProblem: TG006, the library is not installed.
    """
    return RUNTIMES[format_](format_, interface or DeclaredInterface())
