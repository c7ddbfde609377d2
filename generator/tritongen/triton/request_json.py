"""The JSON at the begin of an inference request over HTTP; tensors follow it as they are."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tritongen.triton.messages import SharedRegion, WireTensor

__all__ = ["request_json"]


def request_json(
    inputs: Sequence[WireTensor],
    outputs: Sequence[tuple[str, SharedRegion | None]],
    parameters: Mapping[str, object],
) -> bytes:
    """The JSON of a request.

    Args:
        inputs: in the order of their bytes.
        outputs: that are wanted, each with the region that it goes to, or None for the response
            itself; every one of the model's when there is none.
        parameters: of the request.
    """
    content: dict[str, Any] = {"parameters": dict(parameters)} if parameters else {}
    content["inputs"] = [_input(tensor) for tensor in inputs]
    if outputs:
        content["outputs"] = [
            {"name": name, "parameters": _region(region) if region else {"binary_data": True}}
            for name, region in outputs
        ]
    return json.dumps(content, separators=(",", ":")).encode()


def _input(tensor: WireTensor) -> dict[str, Any]:
    data = tensor.data
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "datatype": tensor.datatype,
        "parameters": _region(data)
        if isinstance(data, SharedRegion)
        else {"binary_data_size": len(data)},
    }


def _region(region: SharedRegion) -> dict[str, Any]:
    return {
        "shared_memory_region": region.name,
        "shared_memory_offset": region.offset,
        "shared_memory_byte_size": region.size,
    }
