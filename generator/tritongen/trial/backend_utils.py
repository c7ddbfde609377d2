"""A stand-in for `triton_python_backend_utils`: what a model needs to answer a request alone.

Other models cannot be called: they run in a server only.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tritongen.model.tensors import DType

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1

Array = np.ndarray[Any, np.dtype[Any]]

# BF16 has no numpy type of its own, and Triton's module names none.
_TYPES = {
    dtype.config_name: np.dtype(dtype.numpy_name).type for dtype in DType if dtype is not DType.BF16
}


class TritonModelException(Exception):  # noqa: N818  (Triton's own name)
    """What Triton's module raises."""


class NoServerError(TritonModelException):
    """A call of another model, which no input of this one would make possible."""


class TritonError:
    """An error in a response."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE = range(5)
    UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(5, 8)

    def __init__(self, message: str, code: int = 1) -> None:
        self._message = message
        self._code = code

    def message(self) -> str:
        """The text."""
        return self._message

    def code(self) -> int:
        """One of the class's numbers."""
        return self._code


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: Array) -> None:
        self._name = name
        self._array = array

    def name(self) -> str:
        """Of the input or output."""
        return self._name

    def as_numpy(self) -> Array:
        """The array."""
        return self._array

    def shape(self) -> list[int]:
        """Sizes."""
        return list(self._array.shape)

    def triton_dtype(self) -> str:
        """The configuration's name of the element type."""
        kind = self._array.dtype
        return next((name for name, item in _TYPES.items() if np.dtype(item) == kind), "")

    def is_cpu(self) -> bool:
        """Always."""
        return True

    def to_dlpack(self) -> Any:  # noqa: ANN401  (a capsule)
        """The array, for other libraries."""
        return self._array.__dlpack__()

    def __dlpack__(self, **options: object) -> Any:  # noqa: ANN401  (a capsule)
        return self._array.__dlpack__(**options)  # type: ignore[arg-type]  # handed on as given

    def __dlpack_device__(self) -> Any:  # noqa: ANN401  (a pair of numbers)
        return self._array.__dlpack_device__()

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> "Tensor":  # noqa: ANN401  (any library's tensor)
        """A tensor of another library."""
        return Tensor(name, np.from_dlpack(tensor))


class InferenceResponse:
    """An answer."""

    def __init__(
        self, output_tensors: Sequence[Tensor] = (), error: TritonError | str | None = None
    ) -> None:
        self._outputs = list(output_tensors)
        self._error = TritonError(error) if isinstance(error, str) else error

    def output_tensors(self) -> list[Tensor]:
        """All outputs."""
        return self._outputs

    def has_error(self) -> bool:
        """Whether it is an error."""
        return self._error is not None

    def error(self) -> TritonError:
        """The error."""
        return self._error or TritonError("")


class _Sender:
    """Takes the responses of a decoupled model."""

    def __init__(self, request: "InferenceRequest") -> None:
        self._request = request

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Keep a response, and note whether it is the last one."""
        if response is not None:
            self._request.sent.append(response)
        if flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL:
            self._request.complete.set()

    def is_cancelled(self) -> bool:
        """Never."""
        return False


class InferenceRequest:
    """A request; made by a model, it would call another one."""

    def __init__(
        self,
        request_id: str = "",
        requested_output_names: Sequence[str] = (),
        inputs: Sequence[Tensor] = (),
        **others: object,
    ) -> None:
        self._id = request_id
        self._outputs = list(requested_output_names)
        self._inputs = list(inputs)
        self._others = others
        self.sent: list[InferenceResponse] = []
        self.has_sender = False
        # A model may send from threads of its own, after `execute` has returned.
        self.complete = threading.Event()

    def inputs(self) -> list[Tensor]:
        """All inputs."""
        return self._inputs

    def request_id(self) -> str:
        """Its id."""
        return self._id

    def correlation_id(self) -> int:
        """No sequence."""
        return 0

    def requested_output_names(self) -> list[str]:
        """All outputs of the configuration."""
        return self._outputs

    def parameters(self) -> str:
        """None, as JSON."""
        return json.dumps({})

    def flags(self) -> int:
        """None."""
        return 0

    def timeout(self) -> int:
        """None."""
        return 0

    def is_cancelled(self) -> bool:
        """Never."""
        return False

    def get_response_sender(self) -> _Sender:
        """Where a decoupled model sends its responses."""
        self.has_sender = True
        return _Sender(self)

    def exec(self, *, decoupled: bool = False) -> InferenceResponse:
        """Refuse: there is no other model here."""
        del decoupled
        name = self._others.get("model_name", "")
        raise NoServerError(f"it calls model {name!r}, which runs in a server only")

    async def async_exec(self, *, decoupled: bool = False) -> InferenceResponse:
        """As `exec`."""
        return self.exec(decoupled=decoupled)


class ModelConfig:
    """What `auto_complete_config` fills in; the policy is all that is asked of it here."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)

    def as_dict(self) -> dict[str, Any]:
        """The configuration so far."""
        return dict(self._config)

    def add_input(self, entry: Mapping[str, Any]) -> None:
        """Known already."""

    add_output = add_input

    def set_max_batch_size(self, size: int) -> None:
        """Known already."""

    def set_dynamic_batching(self) -> None:
        """Planned otherwise."""

    def set_model_transaction_policy(self, policy: Mapping[str, Any]) -> None:
        """Whether a request gets any number of responses."""
        self._config["model_transaction_policy"] = dict(policy)


class Logger:
    """Writes nothing."""

    @staticmethod
    def log_info(message: str) -> None:
        """Drop a message."""

    log_warn = log_error = log_verbose = log = log_info


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """One input, None when the request has none of that name."""
    return next((item for item in request.inputs() if item.name() == name), None)


def get_output_tensor_by_name(response: InferenceResponse, name: str) -> Tensor | None:
    """One output, None when the response has none of that name."""
    return next((item for item in response.output_tensors() if item.name() == name), None)


def get_input_config_by_name(config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """One input's entry of the configuration."""
    return next((item for item in config.get("input", ()) if item["name"] == name), None)


def get_output_config_by_name(config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """One output's entry of the configuration."""
    return next((item for item in config.get("output", ()) if item["name"] == name), None)


def using_decoupled_model_transaction_policy(config: dict[str, Any]) -> bool:
    """Whether the model sends any number of responses."""
    return bool(config.get("model_transaction_policy", {}).get("decoupled"))


def triton_string_to_numpy(name: str) -> Any:  # noqa: ANN401  (a numpy scalar type)
    """The numpy type of a configuration's element type."""
    return _TYPES.get(name)
