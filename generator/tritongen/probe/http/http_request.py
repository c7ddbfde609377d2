"""Inference requests as HTTP/1.1 bytes, with the binary tensor data extension."""

from tritongen.triton.messages import Message, Template
from tritongen.triton.request_json import request_json

_ID_GAP = 8_888_888_888
_MARK = b"8888888888"


def request_bytes(message: Message, host: str) -> bytes:
    """The whole request: request line, headers, JSON, tensors.

    Args:
        message: what to ask.
        host: for the Host header, with the port.
    """
    return _assemble(message, host, request_json(message.inputs, message.outputs, {}))


def request_template(message: Message, host: str) -> Template:
    """The same with gaps for a sequence's correlation id, start and end."""
    gaps = {"sequence_id": _ID_GAP, "sequence_start": False, "sequence_end": False}
    header = request_json(message.inputs, message.outputs, gaps)
    whole = _assemble(message, host, header)
    begin = whole.index(b'"sequence_id":' + _MARK) + len(b'"sequence_id":')
    start = whole.index(b'"sequence_start":false', begin) + len(b'"sequence_start":')
    end = whole.index(b'"sequence_end":false', start) + len(b'"sequence_end":')
    width = len(b"false")
    parts = (
        whole[:begin],
        whole[begin + len(_MARK) : start],
        whole[start + width : end],
        whole[end + width :],
    )
    return Template(parts, grpc=False)


def _assemble(message: Message, host: str, header: bytes) -> bytes:
    version = f"/versions/{message.version}" if message.version else ""
    body = [tensor.data for tensor in message.inputs if isinstance(tensor.data, bytes)]
    size = len(header) + sum(map(len, body))
    head = (
        f"POST /v2/models/{message.model}{version}/infer HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        "Content-Type: application/octet-stream\r\n"
        "Accept-Encoding: identity\r\n"
        f"Inference-Header-Content-Length: {len(header)}\r\n"
        f"Content-Length: {size}\r\n\r\n"
    )
    return b"".join((head.encode("ascii"), header, *body))
