"""How a field of the intent is written in `tritongen.yaml`: said once, beside the field.

A field's type says what kind of value it takes and its default what holds where the file is silent;
its `Key` says the rest. The reader, the messages about faults, the JSON schema and the reference
page follow from both (`tritongen.intent`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextForm:
    """What a text must be.

    Attributes:
        expected: ends the sentence "must be …" and has an example.
        pattern: a regular expression for the whole of it.
        read: what the text stands for, None for a wrong one; without it, itself.
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
