"""Text of strangers, made harmless for the place where it is shown.

Names, messages and paths come from model files, servers and repositories. A control character in
them would command the terminal, a bidirectional one would show other text than there is, and a line
that begins with ``::`` would command the CI runner that reads the output.
"""

import json
import re

# C0, DEL, C1; marks, embeddings, overrides and isolates of direction; separators of lines.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# GitHub reads `::error ::` at the begin of a line and `##[error]` anywhere; Azure Pipelines and
# TeamCity read `##vso[…]` and `##teamcity[…]` anywhere.
_INNER_COMMAND = re.compile(r"##(?=\w*\[)")
_FIRST_COMMAND = re.compile(r"\A(\s*):(?=:)")
_NAMED = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")


def printable(text: str) -> str:
    """The text with visible escapes, and with no command for a CI runner inside it."""
    return _INNER_COMMAND.sub(r"#\\x23", UNSAFE.sub(_visible, text))


def printable_line(text: str) -> str:
    """One whole line of output: printable, and no command for a CI runner."""
    return _FIRST_COMMAND.sub(r"\1\\x3a", printable(text))


def _visible(found: re.Match[str]) -> str:
    number = ord(found[0])
    return _NAMED.get(found[0]) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def json_text(document: object, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """A document as JSON that means the same to every reader and commands nobody.

    YAML reads it as the same value, too.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent, allow_nan=False)
    # Outside strings stand only line ends; inside, json.dumps has escaped what is below a space.
    lines = (UNSAFE.sub(_json_escape, line) for line in text.split("\n"))
    return _INNER_COMMAND.sub(r"#\\u0023", "\n".join(lines))


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def printable_page(page: str) -> str:
    """A page of HTML with visible escapes; its lines stay lines."""
    return "\n".join(map(printable_line, page.split("\n")))


def spreadsheet_cell(text: str) -> str:
    """A cell of CSV that no spreadsheet takes for a formula; numbers stay numbers."""
    safe = f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.match(text) else text
    return printable(safe)


def cell_text(cell: str) -> str:
    """The text of a cell that `spreadsheet_cell` may have prefixed."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
