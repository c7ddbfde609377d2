"""What codes mean, at length: the pages that `tritongen explain` prints."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("explained")
_EXAMPLE = re.compile(r"```text\n(.*?)```\n*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CodePage:
    """One code at length.

    Attributes:
        meaning: what it says and why that matters, in Markdown without headings.
        examples: texts of a `config.pbtxt` or of a folder that raise it.
    """

    meaning: str
    examples: tuple[str, ...]


@cache
def explanations() -> Mapping[str, CodePage]:
    """Every code that is explained, in order: those that commands tell of models and servers."""
    found: dict[str, CodePage] = {}
    for page in sorted(_FOLDER.glob("*.md")):
        _, *sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for section in sections:
            code, _, text = section.partition("\n")
            meaning = _EXAMPLE.sub("", text).strip()
            found[code] = CodePage(meaning, tuple(_EXAMPLE.findall(text)))
    return found
