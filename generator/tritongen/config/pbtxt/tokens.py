"""Tokens of protobuf's text format, by the rules of the C++ tokenizer that Triton uses."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


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
_ESCAPES = re.compile(
    r"\\(?:[abfnrtv\\?'\"]|[0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}"
    r"|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})"
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


def _token(kind: str, piece: str, line: int, column: int, text: str, end: int) -> Token:
    if kind == "number":
        return _number(piece, line, column)
    if kind == "string":
        for escape in _ANY_ESCAPE.finditer(piece):
            if not _ESCAPES.match(piece, escape.start()):
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
