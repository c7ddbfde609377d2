"""How a field of the intent is written in `tritongen.yaml`: said once, beside the field.

A field's type says what kind of value it takes and its default what holds where the file is silent;
its `Key` says the rest. The reader, the messages about faults, the JSON schema and the reference
page follow from both (`tritongen.intent`). Sizes, durations, hours and time zones are texts; what
reads them returns None for one that is none of its kind.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")

_BYTES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_LONG_MILLISECONDS = {"m": 60e3, "h": 3600e3}


@dataclass(frozen=True, slots=True)
class TextForm:
    """What a text must be.

    Attributes:
        expected: ends the sentence "must be …" and has an example.
        pattern: a regular expression for the whole of it.
        read: what the text stands for, None for a wrong one, or a ValueError that says what is
            wrong; without it, itself.
        decimals: accept a number, too, and write it with so many decimals: YAML reads ``26.10`` as
            26.1.
    """

    expected: str
    pattern: str = ".+"
    read: Callable[[str], object] | None = None
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """A mapping of the file whose keys are fields of one dataclass, among others.

    Attributes:
        name: its key; empty for none: the keys stand where the field's dataclass stands.
        meaning: what it is about.
        bare: the key in it that a bare value in its place is for.
    """

    name: str = ""
    meaning: str = ""
    bare: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it means, and which values of the field's type it takes.

    Attributes:
        meaning: half a sentence, for the schema and the reference page; empty for a field whose
            dataclass has no key of its own: its keys stand in the group.
        name: of the key; the field's own name when empty.
        group: the mapping that the key stands in.
        above: what a number, or each of a list, must exceed.
        minimum: the least number.
        maximum: the greatest number.
        min_items: how many items a list must have.
        text: what a text, or each of a list or mapping, must be.
        options: the words that a text may be; those of its enumeration when empty.
        names: what the keys of a mapping from names must be.
        members: what each key of a mapping means whose keys are known.
        bare: the key in a mapping that a bare value in its place is for.
        word: a word of this enumeration may stand in place of the mapping.
        or_text: a text may stand in place of the mapping, and is the one of the empty name.
    """

    meaning: str = ""
    name: str = ""
    group: KeyGroup = KeyGroup()
    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_items: int = 0
    text: TextForm | None = None
    options: tuple[str, ...] = ()
    names: TextForm = TextForm("a name")
    members: Mapping[str, str] = field(default_factory=dict)
    bare: str = ""
    word: type[StrEnum] | None = None
    or_text: bool = False

    def default(self, value: T) -> T:
        """The field that has this value where the file is silent."""
        made: T = field(default=value, metadata={Key: self})
        return made

    def mapping(self) -> dict[Any, Any]:
        """The field that is empty where the file is silent."""
        return field(default_factory=dict, metadata={Key: self})

    def required(self) -> Any:  # noqa: ANN401  (of the field's type)
        """The field that the file must state."""
        return field(metadata={Key: self})


def size_bytes(text: str) -> int | None:
    """Bytes of a text such as ``512MB`` or ``8GiB``; None for nothing, too."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    factor = _BYTES.get(match[2].upper()) if match else None
    if match is None or factor is None:
        return None
    size = int(float(match[1]) * factor)
    return size if size > 0 else None


SIZE_BYTES = TextForm("a size such as 512MB or 8GiB", read=size_bytes)


def duration_ms(text: str) -> float | None:
    """Milliseconds of a text such as ``20ms``, ``1.5s`` or ``250us``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s)\s*", text)
    if match is None:
        return None
    value = float(match[1]) * _MILLISECONDS[match[2]]
    return value if value > 0 else None


DURATION_MS = TextForm("a duration such as 20ms, 1.5s or 250us", read=duration_ms)


def long_duration_ms(text: str) -> float | None:
    """Milliseconds of a text such as ``90s``, ``5m`` or ``2h``."""
    text = text.strip()
    factor = _LONG_MILLISECONDS.get(text[-1:])
    if factor is None:
        return duration_ms(text)
    try:
        value = float(text[:-1])
    except ValueError:
        return None
    return value * factor if 0.0 < value < math.inf else None


def duration_s(text: str) -> float | None:
    """Seconds of a text such as ``90s``, ``5m`` or ``2h``."""
    value = long_duration_ms(text)
    return None if value is None else value / 1e3


def duration_minutes(text: str) -> float | None:
    """Minutes of a text such as ``90s``, ``5m`` or ``2h``."""
    value = long_duration_ms(text)
    return None if value is None else value / 60e3


def hours_of_day(text: str) -> tuple[float, float] | None:
    """``8-18`` or ``08:30-17``: begin and end within a day."""
    ends = []
    for part in text.split("-"):
        hour, _, minute = part.strip().partition(":")
        if not hour.isdigit() or (minute and not minute.isdigit()):
            return None
        ends.append(int(hour) + int(minute or 0) / 60.0)
    if len(ends) != 2 or not 0.0 <= ends[0] < ends[1] <= 24.0:
        return None
    return ends[0], ends[1]


def iana_time_zone(text: str) -> str | None:
    """The text, if it is an IANA name such as ``Europe/Berlin``."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return text
