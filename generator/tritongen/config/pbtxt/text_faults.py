"""Faults of a configuration's text as findings, with the name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

from tritongen.config.pbtxt.tokens import Token
from tritongen.model.findings import Finding, Location, Severity

# Beyond this the rest follows from the first ones, or the file is no configuration at all.
MAX_FAULTS = 20

_CODES = {
    "syntax": "TG401",
    "field": "TG461",
    "enum": "TG462",
    "type": "TG463",
    "range": "TG463",
    "twice": "TG464",
    "oneof": "TG465",
    "size": "TG466",
    "binary": "TG467",
}


class StopParsing(Exception):  # noqa: N818  (control flow of the parser, caught in it)
    """The rest of the text cannot be read sensibly."""


class TextFaults:
    """Collects the faults of one text."""

    def __init__(self, path: str) -> None:
        self.findings: list[Finding] = []
        self._path = path
        self._errors = 0

    def add(self, kind: str, token: Token, complaint: str, field: str, fix: str = "") -> None:
        """One fault, in Triton's words.

        Raises:
            StopParsing: there are enough of them.
        """
        self.findings.append(
            Finding(
                code=_CODES[kind],
                severity=Severity.ERROR,
                message=f"column {token.column}: {complaint}",
                fix=fix,
                location=Location(self._path, token.line, field),
            )
        )
        self._errors += 1
        if self._errors >= MAX_FAULTS:
            raise StopParsing

    def stop(self, token: Token, complaint: str, field: str) -> None:
        """One fault after which reading on makes no sense.

        Raises:
            StopParsing: always.
        """
        self.add("binary" if token.odd else "syntax", token, complaint, field, _fix(token))
        raise StopParsing

    def remark(self, code: str, token: Token, message: str, field: str) -> None:
        """Something that Triton's parser accepts without a word."""
        location = Location(self._path, token.line, field)
        self.findings.append(Finding(code, Severity.WARNING, message, location=location))


def _fix(token: Token) -> str:
    if token.odd and token.text == "\ufeff":
        return "Save the file as UTF-8 without a byte order mark."
    if token.text == "/":
        return "Comments start with `#` in this format."
    if token.text == "}":
        return "Remove the brace, or add the one that opens it."
    return ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A fix that names the closest known word, empty when none is close."""
    names = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"Write `{names[close[0]]}`."
    tails = [name for low, name in names.items() if low.endswith(f"_{word.lower()}")]
    return f"Write `{tails[0]}`." if tails else ""
