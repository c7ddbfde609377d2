"""Triton's `ModelConfig` message, loaded without importing gRPC.

`tritonclient.grpc` imports grpcio and numpy (0.3 to 0.7 s); the generated module of the message
needs protobuf alone. Loading that file by itself registers the same descriptor, byte for byte, so
a later `import tritonclient.grpc` in the same process is harmless.
"""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from tritongen.errors import EnvironmentProblem
from tritongen.model.tensors import DType

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

# The message classes are generated at run time; there is no static type to name.
Message: TypeAlias = Any
_LABEL_REPEATED = 3


@cache
def model_config_module() -> ModuleType:
    """The module with `ModelConfig` and its nested messages.

    Raises:
        EnvironmentProblem: tritonclient is not installed (TG006).
    """
    spec = importlib.util.find_spec("tritonclient")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0], "grpc", "model_config_pb2.py") if folders else None
    if path is None or not path.is_file():
        raise EnvironmentProblem(
            "TG006",
            "the package tritonclient with its gRPC part is not installed",
            fix="pip install 'tritonclient[grpc]'",
        )
    file_spec = importlib.util.spec_from_file_location("tritongen_model_config_pb2", path)
    if file_spec is None or file_spec.loader is None:
        raise EnvironmentProblem(
            "TG006", "the ModelConfig module cannot be loaded", where=str(path)
        )
    module = importlib.util.module_from_spec(file_spec)
    file_spec.loader.exec_module(module)
    return module


def new_model_config() -> Message:
    """An empty `inference.ModelConfig` message."""
    return model_config_module().ModelConfig()


def dtype_name(number: int) -> str:
    """The enum name of a data type: ``TYPE_FP32``; the bare number for one without a name."""
    entry = model_config_module().DataType.DESCRIPTOR.values_by_number.get(number)
    return str(entry.name) if entry else str(number)


def dtype_of(number: int) -> DType | None:
    """The element type of a data type's number, None for TYPE_INVALID and unknown numbers."""
    return DType.from_config(dtype_name(number))


def same(left: Message, right: Message) -> bool:
    """Whether two messages are identical, by their deterministic serialisation."""
    texts = [message.SerializeToString(deterministic=True) for message in (left, right)]
    return bool(texts[0] == texts[1])


def is_repeated(field: "FieldDescriptor") -> bool:
    """Whether a field is a list or a map."""
    # protobuf before 6.30 has `label` only; newer ones warn about it.
    flag = getattr(field, "is_repeated", None)
    return bool(getattr(field, "label", 0) == _LABEL_REPEATED if flag is None else flag)
