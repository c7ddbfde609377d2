"""Placeholders of a configuration's template: ``${engine_dir}``, as TensorRT-LLM's have them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MARK = re.compile(r"""(?<!\\)["']|#""")
# Without these nothing can be served; the others, within a text, read as settings left out.
REQUIRED = frozenset({"engine_dir", "tokenizer_dir", "batching_strategy", "triton_backend"})


@dataclass(frozen=True, slots=True)
class TemplatePlace:
    """One place that waits for a value.

    Attributes:
        name: of the value.
        line: counted from 1.
        start: of the placeholder in its line.
        end: behind it.
        quoted: whether it stands within a text.
    """

    name: str
    line: int
    start: int
    end: int
    quoted: bool


def template_places(text: str) -> Iterator[TemplatePlace]:
    """Every placeholder of a configuration outside of its comments, in their order."""
    for number, line in enumerate(text.split("\n"), 1):
        if "${" not in line:
            continue
        for match in _PLACEHOLDER.finditer(line):
            inside = _open_mark(line[: match.start()])
            if inside != "#":
                yield TemplatePlace(match[1], number, *match.span(), bool(inside))


def _open_mark(text: str) -> str:
    """The quotation mark that is open at the end of a text, ``#`` in a comment, empty for none."""
    inside = ""
    for match in _MARK.finditer(text):
        mark = match[0]
        if not inside:
            inside = mark
            if mark == "#":
                return mark
        elif mark == inside:
            inside = ""
    return inside
