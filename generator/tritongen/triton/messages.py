"""One inference request, its JSON over HTTP, and what its response must look like."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SharedRegion:
    """A stretch of a shared memory region that the server knows.

    Attributes:
        name: under which it was registered.
        offset: bytes from the region's begin.
        size: bytes.
    """

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class TensorMeta:
    """An input or output as the server describes it: -1 for a dynamic size, batch axis included."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WireTensor(TensorMeta):
    """A tensor as it travels, its shape without -1.

    Attributes:
        data: its bytes, little-endian, BYTES elements each after a 4-byte length; or the region
            that holds them.
    """

    data: bytes | SharedRegion


@dataclass(frozen=True, slots=True)
class Message:
    """An inference request.

    Attributes:
        model: its name.
        version: empty for the server's choice.
        inputs: in the model's order.
        outputs: names of the outputs that are wanted, each with the region that it goes to, or
            None for the response itself.
        expected: output values by name, as they travel, to compare samples with; may be empty.
        parameters: of the request, besides those that say where it stands in a sequence.
    """

    model: str
    version: str
    inputs: tuple[WireTensor, ...]
    outputs: tuple[tuple[str, SharedRegion | None], ...]
    expected: Mapping[str, bytes]
    parameters: Mapping[str, str | int | bool | float] = field(default_factory=dict)

    @property
    def payload_bytes(self) -> int:
        """Bytes of the inputs."""
        return sum(
            t.data.size if isinstance(t.data, SharedRegion) else len(t.data) for t in self.inputs
        )


@dataclass(frozen=True, slots=True)
class ModelMeta:
    """A served model's metadata.

    Attributes:
        name: its name.
        versions: those that are served.
        platform: or backend.
        inputs: in order.
        outputs: in order.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMeta, ...]
    outputs: tuple[TensorMeta, ...]


def model_meta(data: Mapping[str, Any]) -> ModelMeta:
    """Metadata from its JSON form.

    Raises:
        KeyError, TypeError, ValueError: it has another form.
    """
    versions = tuple(str(version) for version in data.get("versions") or ())
    if not all(item.isascii() and item.isdigit() for item in versions):
        raise ValueError(versions)
    return ModelMeta(
        str(data["name"]),
        versions,
        str(data.get("platform", "")),
        tuple(_tensor_meta(item) for item in data.get("inputs") or ()),
        tuple(_tensor_meta(item) for item in data.get("outputs") or ()),
    )


def _tensor_meta(item: Mapping[str, Any]) -> TensorMeta:
    return TensorMeta(
        str(item["name"]), str(item["datatype"]), tuple(int(d) for d in item.get("shape") or ())
    )


@dataclass(frozen=True, slots=True)
class ExpectedResponse:
    """What every response of a model must say.

    Attributes:
        model: the name that it must carry.
        outputs: by name.
        batch: rows of each request, None where axis 0 is not a batch axis.
    """

    model: str
    outputs: Mapping[str, TensorMeta]
    batch: int | None

    def fault(self, model: str, found: Sequence[TensorMeta]) -> str:
        """What is wrong with a response, empty when it is as expected.

        Args:
            model: the name in the response.
            found: its outputs.
        """
        if model != self.model:
            return f"the response is of model {model[:80]!r}, not {self.model!r}"
        names = [item.name for item in found]
        if len(set(names)) != len(names) or set(names) != set(self.outputs):
            wanted = ", ".join(sorted(self.outputs))
            return f"outputs {', '.join(sorted(names))[:200] or 'none'} instead of {wanted}"
        for item in found:
            fault = self._tensor_fault(item)
            if fault:
                return fault
        return ""

    def _tensor_fault(self, item: TensorMeta) -> str:
        wanted = self.outputs[item.name]
        if item.datatype != wanted.datatype:
            return f"output {item.name} is {item.datatype[:20]}, not {wanted.datatype}"
        fits = len(item.shape) == len(wanted.shape) and all(
            dim == size or (dim == -1 and size >= 0)
            for dim, size in zip(wanted.shape, item.shape, strict=True)
        )
        if not fits:
            return f"output {item.name} has shape {list(item.shape)}, not {list(wanted.shape)}"
        if self.batch is not None and item.shape and item.shape[0] != self.batch:
            return f"output {item.name} has {item.shape[0]} rows, not {self.batch}"
        return ""


# Sequence ids of constant width: ten digits in JSON, a five-byte varint in protobuf.
FIRST_SEQUENCE_ID = 1_000_000_000


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
