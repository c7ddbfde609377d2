"""Tokens of protobuf's text format and their values, as the C++ parser in Triton reads them."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from google.protobuf.descriptor import FieldDescriptor

Scalar = str | int | float | bool


class TokenKind(StrEnum):
    """What a token is. `BAD` carries the tokenizer's complaint."""

    IDENTIFIER = "identifier"
    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    SYMBOL = "symbol"
    BAD = "bad"
    END = "end"


class Token(NamedTuple):
    """One token; a repository has hundreds of thousands, and tuples are made fastest.

    Attributes:
        kind: what it is.
        text: as written; empty for the end.
        line: 1-based.
        column: 1-based, in characters.
        complaint: for `BAD` tokens, what is wrong.
        odd: whether that is a character that no text of this format has.
    """

    kind: TokenKind
    text: str
    line: int
    column: int
    complaint: str = ""
    odd: bool = False


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
_PATTERN = re.compile(
    r"""(?P<skip>[ \t\r\v\f\n]+|\#[^\n\0]*)
    |(?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>(?:[0-9]|\.[0-9])(?:[eE][+-]|[A-Za-z0-9_.])*)
    |(?P<string>"(?:[^"\\\n\0]|\\[^\n\0])*"|'(?:[^'\\\n\0]|\\[^\n\0])*')
    |(?P<open>["'])
    |(?P<symbol>[!-~])""",
    re.VERBOSE,
)
_KINDS = {"identifier": TokenKind.IDENTIFIER, "symbol": TokenKind.SYMBOL}
_INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_FLOAT = re.compile(r"(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?")
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|(?P<plain>[abfnrtv\\?'\"]))"
)
_ANY_ESCAPE = re.compile(r"\\.")


def tokenize(text: str) -> Iterator[Token]:
    """Every token of the text, the last one of kind `END`; ends early after a `BAD` one.

    The tokenizer never raises. A line ends with a line feed, as it does for Triton.
    """
    line, start, position = 1, 0, 0
    while position < len(text):
        match = _PATTERN.match(text, position)
        column = position - start + 1
        if match is None:
            odd = text[position]
            yield Token(TokenKind.BAD, odd, line, column, _odd_character(odd), odd=True)
            return
        piece, kind = match.group(), match.lastgroup
        if kind == "skip":
            breaks = piece.count("\n")
            if breaks:
                line += breaks
                start = position + piece.rindex("\n") + 1
        else:
            token = _token(str(kind), piece, line, column, text, match.end())
            yield token
            if token.kind is TokenKind.BAD:
                return
        position = match.end()
    yield Token(TokenKind.END, "", line, position - start + 1)


def comments(text: str) -> Iterator[tuple[int, str, int]]:
    """Every comment: its line, itself, and the line of the field that it is for.

    That is its own line when a token stands before it there, else that of the next token. The line
    is 0 for comments before the first token, which are for the whole text.
    """
    line, last, position = 1, 0, 0
    waiting: list[tuple[int, str]] = []
    while position < len(text):
        match = _PATTERN.match(text, position)
        piece = match.group() if match is not None else text[position]
        if match is None or match.lastgroup != "skip":
            yield from ((*comment, line if last else 0) for comment in waiting)
            waiting, last = [], line
        elif piece.startswith("#"):
            if last == line:
                yield line, piece, line
            else:
                waiting.append((line, piece))
        line += piece.count("\n")
        position += len(piece)
    yield from ((*comment, comment[0] if last else 0) for comment in waiting)


def _token(kind: str, piece: str, line: int, column: int, text: str, end: int) -> Token:
    if kind == "number":
        return _number(piece, line, column)
    if kind == "string":
        for escape in _ANY_ESCAPE.finditer(piece):
            if not _ESCAPE.match(piece, escape.start()):
                complaint = "Invalid escape sequence in string literal."
                return Token(TokenKind.BAD, piece, line, column + escape.start(), complaint)
        return Token(TokenKind.STRING, piece, line, column)
    if kind == "open":
        # To the tokenizer a NUL byte is where the text ends.
        crosses = "\n" in text[end:].partition("\0")[0]
        complaint = (
            "String literals cannot cross line boundaries."
            if crosses
            else "Unexpected end of string."
        )
        return Token(TokenKind.BAD, piece, line, column, complaint)
    return Token(_KINDS[kind], piece, line, column)


def _number(piece: str, line: int, column: int) -> Token:
    if _INTEGER.fullmatch(piece):
        return Token(TokenKind.INTEGER, piece, line, column)
    if _FLOAT.fullmatch(piece) and not re.match(r"0[0-9]", piece):
        return Token(TokenKind.FLOAT, piece, line, column)
    return Token(TokenKind.BAD, piece, line, column, _odd_number(piece))


def _odd_number(piece: str) -> str:
    if re.match(r"0[0-9]*[89]", piece):
        return "Numbers starting with leading zero must be in octal."
    if re.fullmatch(r"0[xX]", piece):
        return '"0x" must be followed by hex digits.'
    if re.fullmatch(r"[0-9.]+[eE][+-]?", piece):
        return '"e" must be followed by exponent.'
    if piece.count(".") > 1:
        return "Already saw decimal point or exponent; can't have another one."
    return "Need space between number and identifier."


def _odd_character(character: str) -> str:
    if ord(character) < 0x20 or ord(character) == 0x7F:
        return "Invalid control characters encountered in text."
    first = character.encode("utf-8", errors="replace")[0]
    return f"Interpreting non ascii codepoint {first}."


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


def scalar(token: Token, minus: Token | None, field: FieldDescriptor) -> Scalar:
    """The value of one token for a field that is no message.

    Raises:
        ValueFault: the field cannot hold it.
    """
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        raise ValueFault(f"Expected string, got: {minus.text if minus else token.text}")
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if minus is not None:
            raise ValueFault("Expected identifier, got: -")
        return _boolean(token, field)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _enumeration(token, minus, field)
    if kind in {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}:
        return _real(token, minus)
    return _integer(token, minus, field)


def _integer(token: Token, minus: Token | None, field: FieldDescriptor) -> int:
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


def _real(token: Token, minus: Token | None) -> float:
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


def _boolean(token: Token, field: FieldDescriptor) -> bool:
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


def _enumeration(token: Token, minus: Token | None, field: FieldDescriptor) -> int:
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
