"""Requests as tritonclient takes them: the arguments of its `infer`.

tritonclient imports gevent for HTTP and grpcio for gRPC: when a request is made.
"""

import importlib
from dataclasses import dataclass
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.tensors import DType
from tritongen.triton.messages import Message, SharedRegion, WireTensor
from tritongen.triton.tensor_bytes import decode

# By name; the same for `infer` over HTTP and for `async_infer` and `async_stream_infer` over gRPC.
InferCall = dict[str, Any]


def client_module(protocol: ClientProtocol) -> Any:  # noqa: ANN401  (tritonclient has no types)
    """`tritonclient.http` or `tritonclient.grpc`.

    Raises:
        EnvironmentProblem: TG006, that part is not installed.
    """
    try:
        return importlib.import_module(f"tritonclient.{protocol}")
    except (ImportError, RuntimeError):  # tritonclient turns the one into the other
        what, fix = (
            f"tritonclient has no {protocol} part",
            f"pip install 'tritonclient[{protocol}]'",
        )
        raise EnvironmentProblem("TG006", what, fix=fix) from None


def infer_call(message: Message, protocol: ClientProtocol) -> InferCall:
    """The arguments for a request.

    Raises:
        EnvironmentProblem: TG006, tritonclient or its part is too old or not installed.
    """
    client = client_module(protocol)
    outputs = []
    for name, region in message.outputs:
        output = client.InferRequestedOutput(name)
        if region is not None:
            output.set_shared_memory(region.name, region.size, region.offset)
        outputs.append(output)
    return {
        "model_name": message.model,
        "model_version": message.version,
        "inputs": [_input(client, tensor) for tensor in message.inputs],
        "outputs": outputs,
        "parameters": dict(message.parameters) or None,
    }


def _input(client: Any, tensor: WireTensor) -> Any:  # noqa: ANN401  (tritonclient has no types)
    made = client.InferInput(tensor.name, list(tensor.shape), tensor.datatype)
    data = tensor.data
    if isinstance(data, SharedRegion):
        return made.set_shared_memory(data.name, data.size, data.offset)
    array = decode(memoryview(data), DType(tensor.datatype), tensor.shape)
    try:
        return made.set_data_from_numpy(array)
    except client.InferenceServerException as fault:  # BF16 before tritonclient 2.70
        raise EnvironmentProblem("TG006", str(fault.message()), where=tensor.name) from None


@dataclass(frozen=True, slots=True)
class CallTemplate:
    """A call to which each step of a sequence adds its correlation id and flags."""

    call: InferCall

    def fill(self, sequence: int, *, start: bool, end: bool) -> InferCall:
        """The call for one step of a sequence."""
        return {
            **self.call,
            "sequence_id": sequence,
            "sequence_start": start,
            "sequence_end": end,
        }
