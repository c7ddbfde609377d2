"""Which findings are told: codes that are selected or ignored, everywhere or in one place."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tritongen.errors import CODES
from tritongen.model.findings import Finding, Location, Severity
from tritongen.model.intent_key import Key, TextForm

_WITH_REASON = re.compile(r"(?P<codes>[^()]*)(?:\((?P<reason>.*)\))?\s*", re.DOTALL)


class ListedCodes(NamedTuple):
    """Codes, or the beginnings of some, with the reason that is given; empty for none."""

    codes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Findings that somebody has seen and does not want told.

    Attributes:
        codes: whole ones, or the beginnings of some.
        stands: where this is written.
        scope: path of the file or folder whose findings are meant; empty for all of a repository.
        on_line: of that file; 0 for all of it.
    """

    codes: tuple[str, ...]
    stands: Location
    scope: str = ""
    on_line: int = 0

    def covers(self, item: Finding) -> bool:
        """Whether a finding is of these codes, and in that place."""
        path = item.location.path or item.model
        inside = not self.scope or path == self.scope or path.startswith(f"{self.scope}/")
        here = self.on_line in {0, item.location.line}
        return inside and here and item.code.startswith(self.codes)


@dataclass(frozen=True, slots=True)
class CodeChoice:
    """What to tell; without anything said, every finding.

    Attributes:
        select: beginnings of codes to tell; empty for all.
        ignore: beginnings of codes not to tell; where both fit, the longer one wins.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def under(self, other: "CodeChoice") -> "CodeChoice":
        """This one where another says nothing: its selection wins, its ignores are added."""
        return CodeChoice(other.select or self.select, (*self.ignore, *other.ignore))

    def admits(self, code: str) -> bool:
        """Whether findings of a code are told."""
        wanted = _longest(self.select or ("",), code)
        return wanted > _longest(self.ignore, code)


def _longest(prefixes: Sequence[str], code: str) -> int:
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=-1)


class Sifted(NamedTuple):
    """Findings to tell, and those that are not told."""

    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...]


def sift(found: Iterable[Finding], ignores: Iterable[Ignore], choice: CodeChoice) -> Sifted:
    """Part findings as somebody chose.

    Args:
        found: in the order to tell them.
        ignores: of which those without a scope count by `choice` alone.
        choice: what holds for the whole repository.
    """
    local = [item for item in ignores if item.scope]
    kept: list[Finding] = []
    ignored: list[Finding] = []
    for item in found:
        hidden = not choice.admits(item.code) or any(ignore.covers(item) for ignore in local)
        (ignored if hidden else kept).append(item)
    return Sifted(tuple(kept), tuple(ignored))


def unused(found: Sequence[Finding], ignores: Iterable[Ignore]) -> Iterator[Finding]:
    """A finding for each code that is ignored where it does not occur."""
    for ignore in ignores:
        used = [item.code for item in found if ignore.covers(item)]
        for prefix in ignore.codes:
            if not any(code.startswith(prefix) for code in used):
                model = ignore.scope.partition("/")[0]
                where = f" on line {ignore.on_line}" if ignore.on_line else ""
                what = f"{prefix} is ignored{where} and does not occur"
                yield Finding("TG656", Severity.WARNING, what, "", model, ignore.stands)


def codes_of(text: str) -> tuple[str, ...]:
    """Codes and beginnings of codes, separated by commas.

    Raises:
        ValueError: one of them is neither; the message names those near it.
    """
    found = tuple(part.strip().upper() for part in text.split(","))
    for part in found:
        if not part.startswith("TG") or not any(code.startswith(part) for code in CODES):
            near = ", ".join(near_codes(part))
            raise ValueError(f"there is no code {part!r}{f'; near it: {near}' if near else ''}")
    return found


def near_codes(word: str) -> list[str]:
    """Codes that a misspelt one resembles, the nearest first."""
    return difflib.get_close_matches(word.upper(), CODES, n=3)


def listed_codes(text: str) -> ListedCodes:
    """Codes with a reason in parentheses: ``TG531, TG606 (the neighbours are idle then)``.

    Raises:
        ValueError: it is not of that form, or a code is unknown.
    """
    match = _WITH_REASON.fullmatch(text)
    if match is None:
        raise ValueError(f"must be codes and a reason in parentheses, got {text!r}")
    return ListedCodes(codes_of(match["codes"]), (match["reason"] or "").strip())


LISTED_CODES = TextForm(
    "codes or their beginnings such as TG5, with a reason if there is one: TG531 (tests only)",
    read=listed_codes,
)


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What `check` does not tell of one model."""

    ignore: tuple[ListedCodes, ...] = Key(
        "findings of this model that are not told", text=LISTED_CODES
    ).default(())


@dataclass(frozen=True, slots=True)
class ProjectCheck:
    """What `check` tells of the whole repository."""

    select: tuple[ListedCodes, ...] = Key(
        "findings that are told; default: all", text=LISTED_CODES
    ).default(())
    ignore: tuple[ListedCodes, ...] = Key(
        "findings that are not told; where `select` names more of the code, that holds",
        text=LISTED_CODES,
    ).default(())
