"""Whether a response is right, and which bytes of it need not be looked at again."""

from collections.abc import Mapping

from tritongen.probe.http.http_response import (
    MalformedResponseError,
    ResponseParser,
    decode_outputs,
    error_text,
)
from tritongen.probe.load_engine import FailureCode, LoadTarget

# Chosen: sizes of responses that a model may have; others are looked at in full.
_MAX_PREFIXES = 64


class ResponsePrefixes:
    """Beginnings of responses that were found right; what follows them is tensor data.

    Attributes:
        whole: beginning by the size of the whole response.
    """

    __slots__ = ("_set_aside", "whole")

    def __init__(self) -> None:
        self.whole: dict[int, bytes] = {}
        self._set_aside: dict[int, bytes] = {}

    def learn(self, prefix: bytes, size: int) -> None:
        """A response of that size with this beginning is right."""
        if self._set_aside:
            self.whole.update(self._set_aside)
            self._set_aside.clear()
        if len(self.whole) < _MAX_PREFIXES:
            self.whole[size] = prefix

    def set_aside(self) -> None:
        """Know nothing until the next response was looked at in full."""
        self._set_aside.update(self.whole)
        self.whole.clear()

    def size_of(self, buffer: bytearray, size: int) -> int:
        """Size of the whole response whose first `size` bytes lie in the buffer, 0 if unknown."""
        for whole, prefix in self.whole.items():
            if len(prefix) <= size < whole and buffer.startswith(prefix):
                return whole
        return 0


def verify(
    parser: ResponseParser,
    target: LoadTarget,
    reference: Mapping[str, bytes],
    prefixes: ResponsePrefixes,
) -> tuple[str, str] | None:
    """The failure code and message of a complete response, None when it is right.

    Args:
        parser: has the response.
        target: says what was expected, and learns the sizes of the outputs.
        reference: output values to compare with, by name; may be empty.
        prefixes: learns the beginning of a right response.
    """
    if parser.status != 200:
        return f"HTTP {parser.status}", error_text(parser)
    try:
        model, outputs, sizes = decode_outputs(parser)
    except MalformedResponseError as fault:
        return FailureCode.MALFORMED, str(fault)
    wrong = target.plan.expectation.fault(model, outputs)
    if wrong:
        return FailureCode.WRONG_RESPONSE, wrong
    if reference:
        position = parser.json_size or 0
        for output, size in zip(outputs, sizes, strict=True):
            wanted = reference.get(output.name)
            if wanted is not None and parser.body[position : position + (size or 0)] != wanted:
                return FailureCode.WRONG_VALUES, f"output {output.name} differs from the reference"
            position += size or 0
    target.seen = {o.name: size or 0 for o, size in zip(outputs, sizes, strict=True)}
    if parser.keep_alive and not parser.chunked and "content-length" in parser.headers:
        size = parser.json_size
        prefix = parser.raw_head + (parser.body if size is None else parser.body[:size])
        prefixes.learn(prefix, len(parser.raw_head) + parser.body_size)
    return None
