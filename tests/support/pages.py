"""The pages of the documentation, and the commands that stand in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")
# What a page says of a number or leaves out holds for any.
_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
_OMITTED = "…"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        kind: the word behind its fence.
        line: of the page, at which it begins.
    """

    kind: str
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        """What a person types."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]

    @property
    def shown(self) -> list[str]:
        """What the page says is printed."""
        return [line for line in self.text.splitlines() if not line.startswith("$ ")]


def documents() -> Iterator[str]:
    """Every page that people read, from the root."""
    for path in sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))):
        yield path.relative_to(ROOT).as_posix()


def blocks(page: str, kind: str | None = None) -> list[Block]:
    """The blocks of a page, of one kind or of all."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = (
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in _BLOCK.finditer(text)
    )
    return [block for block in found if kind in (None, block.kind)]


def is_printed(shown: str, printed: str) -> bool:
    """Whether a line that a page shows was printed, but for numbers and what it leaves out."""
    pattern = re.escape(_plain(shown)).replace(re.escape(_OMITTED), ".*")
    return any(re.fullmatch(pattern, _plain(line)) for line in printed.splitlines())


def _plain(line: str) -> str:
    return _NUMBER.sub("0", " ".join(line.split()))
