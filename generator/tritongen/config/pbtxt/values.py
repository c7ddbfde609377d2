"""Scalar values of the text format, read as Triton's C++ parser reads them."""

import re

from google.protobuf.descriptor import FieldDescriptor

from tritongen.config.pbtxt.tokens import Token, TokenKind

_LIMITS: dict[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_TRUE = frozenset({"true", "True", "t"})
_FALSE = frozenset({"false", "False", "f"})
_FLOAT_WORDS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>[0-9a-fA-F]{8})|(?P<plain>.))"
)


class ValueFault(Exception):  # noqa: N818  (a fault of the text, reported as a finding)
    """A value that the field cannot hold.

    Attributes:
        complaint: Triton's words.
        kind: ``type``, ``range`` or ``enum``.
    """

    def __init__(self, complaint: str, kind: str = "type") -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.kind = kind


def unquote(literal: str) -> tuple[str, bool]:
    """The value of one string literal and whether it is valid UTF-8.

    Bytes that are no UTF-8 become U+FFFD, since Python's messages hold text only.
    """
    body = literal[1:-1]
    raw = bytearray()
    position = 0
    for match in _ESCAPE.finditer(body):
        raw += body[position : match.start()].encode("utf-8", errors="surrogatepass")
        raw += _escaped(match)
        position = match.end()
    raw += body[position:].encode("utf-8", errors="surrogatepass")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", errors="replace"), False
    return text, "\ufffd" not in text


def _escaped(match: re.Match[str]) -> bytes:
    groups = match.groupdict()
    if groups["octal"] is not None:
        return bytes([int(groups["octal"], 8) & 0xFF])
    if groups["hex"] is not None:
        return bytes([int(groups["hex"], 16)])
    code = groups["short"] or groups["long"]
    if code is not None:
        return chr(int(code, 16)).encode("utf-8", errors="surrogatepass")
    plain = groups["plain"]
    return _SIMPLE_ESCAPES.get(plain, plain).encode()


def integer(token: Token, minus: Token | None, field: FieldDescriptor) -> int:
    """An integer field's value.

    Raises:
        ValueFault: it is no integer, or out of the field's range.
    """
    low, high = _LIMITS[field.cpp_type]
    if minus is not None and low == 0:
        raise ValueFault("Expected integer, got: -")
    if token.kind is not TokenKind.INTEGER:
        raise ValueFault(f"Expected integer, got: {token.text}")
    value = whole(token.text)
    if (-value if minus is not None else value) not in range(low, high + 1):
        raise ValueFault(f"Integer out of range ({token.text})", "range")
    return -value if minus is not None else value


def whole(text: str) -> int:
    """The number of an unsigned literal: decimal, ``0x`` hexadecimal or ``0`` octal."""
    if text[:2] in {"0x", "0X"}:
        return int(text, 16)
    if len(text) > 1 and text[0] == "0":
        return int(text, 8)
    # Python refuses to convert thousands of digits; every field is out of range long before.
    return int(text) if len(text) <= 40 else 2**128


def real(token: Token, minus: Token | None) -> float:
    """A floating-point field's value.

    Raises:
        ValueFault: it is no number.
    """
    sign = -1.0 if minus is not None else 1.0
    if token.kind is TokenKind.IDENTIFIER and token.text.lower() in _FLOAT_WORDS:
        return sign * _FLOAT_WORDS[token.text.lower()]
    if token.kind is TokenKind.FLOAT:
        return sign * float(token.text.rstrip("fF"))
    if token.kind is TokenKind.INTEGER:
        if len(token.text) > 1 and token.text[0] == "0":
            raise ValueFault(f"Expect a decimal number, got: {token.text}")
        return sign * float(token.text)
    raise ValueFault(f"Expected double, got: {token.text}")


def boolean(token: Token, field: FieldDescriptor) -> bool:
    """A boolean field's value.

    Raises:
        ValueFault: it is none of the accepted words, 0 or 1.
    """
    if token.kind is TokenKind.INTEGER:
        value = whole(token.text)
        if value > 1:
            raise ValueFault(f"Integer out of range ({token.text})", "range")
        return value == 1
    if token.kind is not TokenKind.IDENTIFIER:
        raise ValueFault(f"Expected identifier, got: {token.text}")
    if token.text in _TRUE or token.text in _FALSE:
        return token.text in _TRUE
    raise ValueFault(f'Invalid value for boolean field "{field.name}". Value: "{token.text}".')


def enumeration(token: Token, minus: Token | None, field: FieldDescriptor) -> int:
    """An enum field's number; numbers without a name are accepted, as Triton does.

    Raises:
        ValueFault: no such name, or neither a name nor a number.
    """
    if token.kind is TokenKind.IDENTIFIER and minus is None:
        value = field.enum_type.values_by_name.get(token.text) if field.enum_type else None
        if value is not None:
            return int(value.number)
        complaint = f'Unknown enumeration value of "{token.text}" for field "{field.name}".'
        raise ValueFault(complaint, "enum")
    if token.kind is TokenKind.INTEGER:
        number = whole(token.text)
        if number > 2**31 - 1:
            raise ValueFault(f"Integer out of range ({token.text})", "range")
        return -number if minus is not None else number
    raise ValueFault(f"Expected integer or identifier, got: {token.text}")
