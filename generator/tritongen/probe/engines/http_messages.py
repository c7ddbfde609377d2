"""HTTP/1.1 messages: requests whose bodies tritonclient makes, and a parser of responses.

The parser is strict about what it does not understand. It takes the bytes as they come, in pieces
of any size, and keeps no more than it must. What a response says is read by tritonclient.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.engines.infer_calls import client_module, infer_call
from tritongen.probe.engines.infer_results import InferResponse, read_response
from tritongen.triton.http_channel import check_values
from tritongen.triton.messages import FIRST_SEQUENCE_ID, Message
from tritongen.triton.refusals import told

# Headers of most servers.
_NONE: Mapping[str, str] = MappingProxyType({})


def request_bytes(
    message: Message, host: str, path: str = "", headers: Mapping[str, str] = _NONE
) -> bytes:
    """The whole request: request line, headers, JSON, tensors.

    Args:
        message: what to ask.
        host: for the Host header, with the port; one among the headers comes before it.
        path: of the server, before the model's.
        headers: sent besides.
    """
    body, json_size = _body(message)
    return _head(message, _lines(host, headers), path, json_size, len(body)) + body


@dataclass(frozen=True, slots=True)
class HttpTemplate:
    """A request with gaps for the correlation id and the two flags of a sequence.

    Attributes:
        heads: by how many flags are true, which is by a letter shorter than false.
        parts: of the body: before the id, up to start, up to end, after end.
    """

    heads: tuple[bytes, ...]
    parts: tuple[bytes, ...]

    def fill(self, sequence: int, *, start: bool, end: bool) -> bytes:
        """The request for one step of a sequence; ids are of ten digits."""
        before, between, middle, after = self.parts
        number, flags = b"%d" % sequence, (b"false", b"true")
        body = (before, number, between, flags[start], middle, flags[end], after)
        return b"".join((self.heads[start + end], *body))


def request_template(
    message: Message, host: str, path: str = "", headers: Mapping[str, str] = _NONE
) -> HttpTemplate:
    """The same for sequences."""
    body, json_size = _body(message, sequence_id=FIRST_SEQUENCE_ID)
    rest, parts = body[:json_size], []
    for key, gap in (("id", b"%d" % FIRST_SEQUENCE_ID), ("start", b"false"), ("end", b"false")):
        # No name and no value can hold this: JSON escapes the quotation marks in them.
        before, place, rest = rest.partition(b'"sequence_%s":' % key.encode() + gap)
        parts.append(before + place.removesuffix(gap))
    tensors = b"" if json_size is None else body[json_size:]
    lines, whole = _lines(host, headers), len(body)
    sizes = [(None if json_size is None else json_size - less, whole - less) for less in range(3)]
    heads = tuple(_head(message, lines, path, *size) for size in sizes)
    return HttpTemplate(heads, (*parts, rest + tensors))


def _body(message: Message, sequence_id: int = 0) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON, None where it is all JSON."""
    call = infer_call(message, ClientProtocol.HTTP)
    client = client_module(ClientProtocol.HTTP).InferenceServerClient
    made: tuple[bytes, int | None] = client.generate_request_body(
        call["inputs"], call["outputs"], sequence_id=sequence_id, parameters=call["parameters"]
    )
    return made


def _lines(host: str, headers: Mapping[str, str]) -> str:
    given = {"host": ("Host", host)}
    given |= {name.lower(): (name, value) for name, value in headers.items()}
    return "".join(f"{name}: {value}\r\n" for name, value in given.values())


def _head(message: Message, lines: str, path: str, json_size: int | None, size: int) -> bytes:
    version = f"/versions/{message.version}" if message.version else ""
    length = "" if json_size is None else f"Inference-Header-Content-Length: {json_size}\r\n"
    return (
        f"POST {path}/v2/models/{quote(message.model)}{version}/infer HTTP/1.1\r\n"
        f"{lines}"
        "Content-Type: application/octet-stream\r\n"
        "Accept-Encoding: identity\r\n"
        f"{length}"
        f"Content-Length: {size}\r\n\r\n"
    ).encode("ascii")


# Chosen: what common servers send at most of headers, eight times over.
MAX_HEAD_BYTES = 65_536
# Chosen: as for any other answer that nobody vouches for, see `triton/http_channel.py`.
_MAX_JSON_BYTES = 16 * 1024 * 1024
_MAX_CHUNK_LINE_BYTES = 1024
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# Chosen: a proxy on the way may send one or two "100 Continue" or "103 Early Hints" each.
_MAX_INTERIM = 16


class MalformedResponseError(Exception):
    """The bytes are not an HTTP/1.1 response; the message says why."""


class ResponseParser:
    """One response.

    Attributes:
        status: the status code, 0 until it is known.
        headers: by lower-case name; repeated ones are joined by commas.
        body: the bytes of the body that were kept.
        body_size: bytes of the body so far.
        raw_head: status line and headers of the final response, as they came.
        done: whether the response is complete.
        keep_alive: whether the connection may be used again.
        excess: bytes that came after the end of the response.
    """

    def __init__(self, *, keep_all: bool = False) -> None:
        """Keep the whole body with `keep_all`, else only the JSON of a binary response."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.body_size = 0
        self.raw_head = b""
        self.done = False
        self.keep_alive = True
        self.excess = 0
        self.chunked = False
        self._keep_all = keep_all
        self._keep = 0
        self._length: int | None = None
        self._pending = bytearray()
        self._in_head = True
        self._interim = 0
        self._chunk_left = 0
        self._chunk_stage = "size"

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take more bytes.

        Raises:
            MalformedResponseError: they cannot be part of a response.
        """
        if self.done:
            self.excess += len(data)
            return
        if self._in_head:
            self._pending += data
            while self._read_head():
                pass
            if not self.raw_head:
                return
            data = bytes(self._pending)
            self._pending.clear()
        if self.chunked:
            self._pending += data
            self._read_chunks()
        else:
            self._read_body(data)

    def end(self) -> None:
        """The peer has closed the connection.

        Raises:
            MalformedResponseError: in the middle of the response.
        """
        if self.done:
            return
        if not self._in_head and self._length is None and not self.chunked:
            self.done, self.keep_alive = True, False
            return
        raise MalformedResponseError("the connection was closed in the middle of the response")

    @property
    def json_size(self) -> int | None:
        """Length of the JSON at the body's begin, None when the whole body is JSON."""
        text = self.headers.get("inference-header-content-length")
        return None if text is None else _number(text, "Inference-Header-Content-Length")

    def _read_head(self) -> bool:
        """Reads one head; True when an interim response was passed over and another may follow."""
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            if len(self._pending) > MAX_HEAD_BYTES:
                raise MalformedResponseError(f"the headers are longer than {MAX_HEAD_BYTES} bytes")
            if self._pending[:5] != b"HTTP/"[: len(self._pending)]:
                raise MalformedResponseError("this is not an HTTP response")
            return False
        raw = bytes(self._pending[: end + 4])
        lines = raw[:-4].split(b"\r\n")
        del self._pending[: end + 4]
        self.status, version = _status_line(lines[0])
        self.headers = _headers(lines[1:])
        if 100 <= self.status < 200:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise MalformedResponseError(f"more than {_MAX_INTERIM} interim responses")
            return True
        self.raw_head = raw
        self._in_head = False
        self._frame(version)
        return False

    def _frame(self, version: bytes) -> None:
        """How long the body is, and what of it to keep."""
        connection = self.headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection and (
            version == b"1.1" or "keep-alive" in connection
        )
        coding = self.headers.get("transfer-encoding", "").lower().strip()
        length = self.headers.get("content-length")
        if coding and coding != "identity":
            if coding != "chunked" or length is not None:
                raise MalformedResponseError(f"transfer encoding {coding[:40]!r} is not supported")
            self.chunked = True
        elif self.status in {204, 304}:
            self._length = 0
        elif length is not None:
            parts = {part.strip() for part in length.split(",")}
            if len(parts) != 1:
                raise MalformedResponseError("contradicting Content-Length headers")
            self._length = _number(parts.pop(), "Content-Length")
        if self.headers.get("content-encoding", "identity").lower().strip() != "identity":
            raise MalformedResponseError("the response is compressed though it must not be")
        json_size = self.json_size
        self._keep = _MAX_JSON_BYTES if self._keep_all or json_size is None else json_size
        if json_size is not None and json_size > _MAX_JSON_BYTES:
            raise MalformedResponseError("the JSON part is too large")
        if self._length is not None and json_size is not None and json_size > self._length:
            raise MalformedResponseError("the JSON part is longer than the body")

    def _read_body(self, data: bytes | bytearray | memoryview) -> None:
        if self._length is None:
            self._take(data)
            return
        left = self._length - self.body_size
        self._take(data[:left])
        if self.body_size == self._length:
            self.done = True
            self.excess = len(data) - left if len(data) > left else 0

    def _take(self, data: bytes | bytearray | memoryview) -> None:
        self.body_size += len(data)
        room = self._keep - len(self.body)
        if room > 0:
            self.body += data[:room]

    def _read_chunks(self) -> None:
        pending = self._pending
        position = 0
        while not self.done:
            if self._chunk_stage == "data":
                piece = pending[position : position + self._chunk_left]
                self._take(piece)
                position += len(piece)
                self._chunk_left -= len(piece)
                if self._chunk_left:
                    break
                self._chunk_stage = "end"
            line_end = pending.find(b"\r\n", position)
            if line_end < 0:
                if len(pending) - position > _MAX_CHUNK_LINE_BYTES:
                    raise MalformedResponseError("a chunk's size line is too long")
                break
            line = bytes(pending[position:line_end])
            position = line_end + 2
            self._chunk_line(line)
        del pending[:position]
        if self.done:
            self.excess = len(pending)
            pending.clear()

    def _chunk_line(self, line: bytes) -> None:
        """A line between chunks: the end of one, the size of the next, or a trailer."""
        if self._chunk_stage == "end":
            if line:
                raise MalformedResponseError("a chunk is longer than its size")
            self._chunk_stage = "size"
        elif self._chunk_stage == "size":
            digits = line.split(b";", 1)[0].strip()
            if not _CHUNK_SIZE.fullmatch(digits):
                raise MalformedResponseError("a chunk has no size")
            self._chunk_left = int(digits, 16)
            self._chunk_stage = "data" if self._chunk_left else "trailer"
        elif not line:
            self.done = True


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.strip().isdigit()) or len(text) > 18:
        raise MalformedResponseError(f"{name} is not a number")
    return int(text)


def _status_line(line: bytes) -> tuple[int, bytes]:
    fields = line.split(b" ", 2)
    if len(fields) < 2 or fields[0] not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise MalformedResponseError("this is not an HTTP/1.1 response")
    if len(fields[1]) != 3 or not fields[1].isdigit() or fields[1] < b"100":
        raise MalformedResponseError("the status is not a number")
    return int(fields[1]), fields[0][-3:]


def _headers(lines: list[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise MalformedResponseError("a header line has no name")
        key, text = name.decode("ascii").lower(), value.strip().decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def decode_outputs(parser: ResponseParser) -> InferResponse:
    """What a complete, successful response says.

    Raises:
        MalformedResponseError: the body is not an inference response.
    """
    size = parser.json_size
    client = client_module(ClientProtocol.HTTP).InferenceServerClient
    try:
        check_values(parser.body[:size])
        answer = read_response(client.parse_response_body(bytes(parser.body), header_length=size))
        tensors = sum(item or 0 for item in answer.sizes)
    except Exception as fault:  # noqa: BLE001  (tritonclient fails in any way on what it cannot read)
        raise MalformedResponseError(
            f"the body is not an inference response ({type(fault).__name__})"
        ) from None
    if tensors != (0 if size is None else parser.body_size - size):
        raise MalformedResponseError("the binary data are not as long as the outputs say")
    return answer


def error_text(parser: ResponseParser) -> str:
    """The message of a refused request, at most 300 characters."""
    try:
        body = json.loads(bytes(parser.body))
        text = body["error"] if isinstance(body, dict) and "error" in body else str(body)
    except (ValueError, RecursionError):
        text = told(parser.status, parser.body, parser.headers)
    return " ".join(str(text).split())[:300]
