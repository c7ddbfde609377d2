"""Inference requests as gRPC messages: tritonclient's `ModelInferRequest` behind a 5-byte prefix.

tritonclient imports grpcio, which takes half a second: it is imported by whoever makes a request.
"""

from typing import Any

from tritongen.triton.messages import FIRST_SEQUENCE_ID, Message, SharedRegion, Template

# Digits of the id at the end of a streamed request.
ID_DIGITS = 10
# Bytes of the two kinds of values of a sequence on the wire: a varint of five, and a bool.
_ID_BYTES, _FLAG_BYTES = 5, 1


def request_bytes(message: Message, *, streamed: bool = False) -> bytes:
    """The message behind its prefix: not compressed, four bytes of length.

    Args:
        message: what to ask.
        streamed: for a bidirectional stream: it ends in an id of ten digits, and asks for a final
            response even where there is nothing to say.
    """
    return _prefixed(b"", _request(message, streamed=streamed))


def request_template(message: Message, *, streamed: bool = False) -> Template:
    """The same with gaps for a sequence's correlation id, start and end.

    One message after the other is, on the wire, one message with the fields of both. The value of
    a parameter stands at the end of its own.
    """
    number = _parameter("sequence_id", int64_param=FIRST_SEQUENCE_ID)
    start = _parameter("sequence_start", bool_param=False)
    end = _parameter("sequence_end", bool_param=False)
    tail = _request(message, streamed=streamed)
    whole = _prefixed(number + start + end, tail)
    begin = len(whole) - len(tail) - len(number + start + end)
    first = begin + len(number)
    second = first + len(start)
    third = second + len(end)
    parts = (
        whole[: first - _ID_BYTES],
        whole[first : second - _FLAG_BYTES],
        whole[second : third - _FLAG_BYTES],
        whole[third:],
    )
    return Template(parts, grpc=True)


def _prefixed(parameters: bytes, request: bytes) -> bytes:
    size = len(parameters) + len(request)
    return b"".join((b"\x00", size.to_bytes(4, "big"), parameters, request))


def _request(message: Message, *, streamed: bool) -> bytes:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=message.model, model_version=message.version)
    for tensor in message.inputs:
        added = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if isinstance(tensor.data, bytes):
            request.raw_input_contents.append(tensor.data)
        else:
            _place(added, tensor.data)
    for name, region in message.outputs:
        output = request.outputs.add(name=name)
        if region is not None:
            _place(output, region)
    if streamed:
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    content: bytes = request.SerializeToString()
    if streamed:
        # Alone, so that it stands at the end.
        content += service_pb2.ModelInferRequest(id="0" * ID_DIGITS).SerializeToString()
    return content


def _parameter(name: str, **value: int | bool) -> bytes:
    """A request of one parameter, whose value stands at its end."""
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest()
    request.parameters[name].CopyFrom(service_pb2.InferParameter(**value))
    content: bytes = request.SerializeToString()
    return content


def _place(tensor: Any, region: SharedRegion) -> None:  # noqa: ANN401  (a message of an input or output)
    tensor.parameters["shared_memory_region"].string_param = region.name
    tensor.parameters["shared_memory_offset"].int64_param = region.offset
    tensor.parameters["shared_memory_byte_size"].int64_param = region.size
