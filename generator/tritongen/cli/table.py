"""Text that fits a width; of columns what is long is wrapped, what matters least left out."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

_GAP = "  "
# Cells from this width on are sentences, which wrap before any column is left out; no sentence is
# squeezed further than to the second. Chosen.
_PROSE, _MIN_PROSE = 30, 24
# A word, or words between backticks, which are copied; and the spaces before them.
_UNIT = re.compile(r" *(?:`[^`]*`|[^ ])+")

Row = Sequence[str]


def cells_of(text: str) -> int:
    """Cells that a terminal takes for a text: two for a wide glyph, none for a combining mark."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrapped(text: str, width: int) -> list[str]:
    """The words of a text in lines of at most so many cells; a longer word is cut.

    Two colons at the begin of a line would be a command to a CI runner: one more sign hides them.
    """
    lines: list[str] = []
    line = text[: len(text) - len(text.lstrip())]
    for word in text.split():
        for part in _parts(word, width):
            joined = f"{line} {part}" if line.strip() else line + part
            if line.strip() and cells_of(joined) > width:
                lines.append(line)
                joined = f"\\{part}" if part.startswith("::") else part
            line = joined
    return [*lines, line]


def folded(text: str, width: int, cells: Callable[[str], int]) -> list[str]:
    """A line in lines of at most so many cells, set in further from the second on.

    What cannot be divided stays whole, if it is longer than a line: a path, a command.
    """
    if cells(text) <= width:
        return [text]
    inset = " " * (len(text) - len(text.lstrip(" ")) + len(_GAP))
    lines, line = [], ""
    for unit in _UNIT.findall(text):
        if line.strip() and cells(line + unit) > width:
            lines.append(line)
            line = inset + unit.lstrip(" ")
        else:
            line += unit
    return [*lines, line]


def _parts(word: str, width: int) -> Iterator[str]:
    """A word in pieces that fit; a glyph that is wider than a line stands alone."""
    begin = taken = 0
    for index, char in enumerate(word):
        wide = _cells(char)
        if taken + wide > width and index > begin:
            yield word[begin:index]
            begin, taken = index, 0
        taken += wide
    yield word[begin:]


def fitted(
    rows: Sequence[Row], width: int | None, drop: Sequence[int], cells: Callable[[str], int]
) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide each of them is.

    Args:
        rows: the header first; all of one length.
        width: cells in a line, None for any.
        drop: columns that may be left out, the least important first.
        cells: width of a cell.
    """
    natural = [max(cells(row[index]) for row in rows) for index in range(len(rows[0]))]
    shown = list(range(len(natural)))
    if width is None:
        return shown, natural
    words = [max(_longest_word(row[i], cells) for row in rows) for i in range(len(natural))]
    floors = [
        max(word, _MIN_PROSE) if have > _PROSE else have
        for have, word in zip(natural, words, strict=True)
    ]
    for leaving in (None, *drop):
        shown = [index for index in shown if index != leaving]
        room = width - len(_GAP) * (len(shown) - 1)
        if sum(floors[index] for index in shown) <= room:
            break
    else:
        # Sentences go first, and words are cut last.
        cut = sum(words[index] for index in shown) > room
        floors = [min(word, _MIN_PROSE) for word in words] if cut else words
        natural = words if cut else natural
    most = [max(floors[i], min(natural[i], room)) for i in shown]
    return shown, _narrowed(most, [floors[i] for i in shown], room)


def _longest_word(cell: str, cells: Callable[[str], int]) -> int:
    return max(map(cells, cell.split()), default=0)


def _narrowed(widths: list[int], floors: Sequence[int], room: int) -> list[int]:
    """Widths that fit the room together: the widest column gives first, each down to its floor.

    Of two as wide it is the later one: names stand first.
    """
    while sum(widths) > room:
        able = [index for index, have in enumerate(widths) if have > floors[index]]
        if not able:
            return widths
        widths[max(able, key=lambda index: (widths[index], index))] -= 1
    return widths


def joined_rows(
    row: Row,
    widths: Sequence[int],
    cells: Callable[[str], int],
    wrap: Callable[[str, int], list[str]],
) -> list[str]:
    """The lines of one row."""
    columns = [
        wrap(cell, width) if cells(cell) > width else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = []
    for parts in zip_longest(*columns, fillvalue=""):
        padded = [
            part + " " * (width - cells(part)) for part, width in zip(parts, widths, strict=True)
        ]
        lines.append(_GAP.join([*padded[:-1], parts[-1]]).rstrip())
    return lines
