"""What is known of one parsed configuration: message, faults, and where each field stands.

A fault of the text names what was probably meant.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from tritongen.config.pbtxt_tokens import Token
from tritongen.config.protobuf import Message
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
_LAST_PART = re.compile(r"(\.?[A-Za-z0-9_]+|\[[0-9]+\]|\[\"(?:[^\"\\]|\\.)*\"\])$")


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """The outcome of reading one `config.pbtxt`.

    Attributes:
        path: of the file, as findings name it.
        message: an `inference.ModelConfig`; what could be read of it when there are faults.
        lines: 1-based line of every field by its path: ``input[0].dims``, ``input[0].dims[1]``,
            ``parameters["intra_op_thread_count"].string_value``.
        findings: faults of the text, each with line and column, and repeated map keys.
    """

    path: str
    message: Message
    lines: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether Triton's parser accepts the text."""
        return not any(item.severity is Severity.ERROR for item in self.findings)

    def line(self, path: str) -> int:
        """The line of a field, or of the nearest enclosing field that is written; else 0."""
        while path:
            if path in self.lines:
                return self.lines[path]
            shorter = _LAST_PART.sub("", path)
            path = "" if shorter == path else shorter
        return 0


def map_path(name: str, key: object) -> str:
    """The path of a map's entry: ``parameters["key"]``, ``priority_queue_policy[3]``."""
    if isinstance(key, str):
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}["{escaped}"]'
    return f"{name}[{key}]"


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
