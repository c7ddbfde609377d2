"""Inference requests as gRPC messages: `inference.ModelInferRequest` with its five-byte prefix."""

from tritongen.probe.grpc.protobuf_fields import field, field_number, packed, varint
from tritongen.triton.messages import FIRST_SEQUENCE_ID, Message, SharedRegion, Template, Tensor

# Numbers of the fields in `ModelInferRequest` and its parts.
_MODEL, _VERSION, _ID, _PARAMETERS, _INPUTS, _OUTPUTS, _RAW = 1, 2, 3, 4, 5, 6, 7
_NAME, _DATATYPE, _SHAPE, _INPUT_PARAMETERS = 1, 2, 3, 4
_OUTPUT_PARAMETERS = 2
_KEY, _VALUE = 1, 2
_BOOL, _INT64, _STRING = 1, 2, 3
# Digits of the id at the end of a streamed request.
ID_DIGITS = 10


def request_bytes(message: Message, *, streamed: bool = False) -> bytes:
    """The message behind its prefix: not compressed, four bytes of length.

    Args:
        message: what to ask.
        streamed: for a bidirectional stream: it ends in an id of ten digits, and asks for a final
            response even where there is nothing to say.
    """
    return _prefixed(_head(message) + _tail(message, streamed=streamed))


def request_template(message: Message, *, streamed: bool = False) -> Template:
    """The same with gaps for a sequence's correlation id, start and end."""
    head, tail = _head(message), _tail(message, streamed=streamed)
    number = varint(FIRST_SEQUENCE_ID)
    entries = (
        _entry("sequence_id", varint(_INT64 << 3) + number),
        _entry("sequence_start", field_number(_BOOL, 0)),
        _entry("sequence_end", field_number(_BOOL, 0)),
    )
    whole = _prefixed(head + b"".join(entries) + tail)
    first = len(whole) - len(tail) - sum(map(len, entries)) + len(entries[0])
    second = first + len(entries[1])
    third = second + len(entries[2])
    parts = (
        whole[: first - len(number)],
        whole[first : second - 1],
        whole[second : third - 1],
        whole[third:],
    )
    return Template(parts, grpc=True)


def _prefixed(content: bytes) -> bytes:
    return b"\x00" + len(content).to_bytes(4, "big") + content


def _head(message: Message) -> bytes:
    version = field(_VERSION, message.version.encode()) if message.version else b""
    return field(_MODEL, message.model.encode()) + version


def _tail(message: Message, *, streamed: bool) -> bytes:
    inputs = b"".join(field(_INPUTS, _input(tensor)) for tensor in message.inputs)
    outputs = b"".join(
        field(_OUTPUTS, field(_NAME, name.encode()) + _region(region, _OUTPUT_PARAMETERS))
        for name, region in message.outputs
    )
    raw = b"".join(
        field(_RAW, tensor.data) for tensor in message.inputs if isinstance(tensor.data, bytes)
    )
    if not streamed:
        return inputs + outputs + raw
    final = _entry("triton_enable_empty_final_response", field_number(_BOOL, 1))
    return final + inputs + outputs + raw + field(_ID, b"0" * ID_DIGITS)


def _input(tensor: Tensor) -> bytes:
    region = tensor.data if isinstance(tensor.data, SharedRegion) else None
    return (
        field(_NAME, tensor.name.encode())
        + field(_DATATYPE, tensor.datatype.encode())
        + packed(_SHAPE, tensor.shape)
        + _region(region, _INPUT_PARAMETERS)
    )


def _region(region: SharedRegion | None, number: int) -> bytes:
    if region is None:
        return b""
    pairs = {
        "shared_memory_region": field(_STRING, region.name.encode()),
        "shared_memory_offset": field_number(_INT64, region.offset),
        "shared_memory_byte_size": field_number(_INT64, region.size),
    }
    return b"".join(
        field(number, field(_KEY, key.encode()) + field(_VALUE, value))
        for key, value in pairs.items()
    )


def _entry(key: str, value: bytes) -> bytes:
    """An entry of the request's parameters; its value stands at its end."""
    return field(_PARAMETERS, field(_KEY, key.encode()) + field(_VALUE, value))
