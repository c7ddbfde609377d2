"""Writes docs/tritongen-yaml.md from the fields of the intent; `--check` compares instead.

What the page says of a key is what reader and schema know of it.
"""

import re
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path

from tritongen.intent.reader import key_fields, known_keys
from tritongen.intent.value_shapes import (
    Flag,
    KnownKeys,
    ListOf,
    MapOf,
    Number,
    OneOf,
    Text,
    ValueShape,
    Words,
)
from tritongen.model.intent import Intent

PAGE = Path(__file__).parent.parent / "docs" / "tritongen-yaml.md"

INTRO = """\
# tritongen.yaml

Generated from the declarations of its keys by `python scripts/intent_page.py`; a test holds it
against them.

The file stands beside the models; every key is optional unless the page says otherwise, and
`tritongen init ./models` drafts one. `tritongen init --schema` prints the JSON schema for editors.
Every fault is told with its line and path, all at once. NAME stands for a name of yours.
"""


def page() -> str:
    """The whole text."""
    return "\n".join([INTRO, *_sections(known_keys(Intent), _defaults(Intent, ""))])


def _sections(root: KnownKeys, defaults: Mapping[str, str]) -> Iterator[str]:
    """Each mapping of known keys, those in it after it; one that was there before names it."""
    seen: list[tuple[KnownKeys, str]] = []
    left = [("", root)]
    while left:
        path, mapping = left.pop(0)
        before = next((place for known, place in seen if known == mapping), None)
        if path:
            yield f"## {path}\n"
        if before is not None:
            yield f"The same keys as [{before}](#{_anchor(before)}).\n"
            continue
        seen.append((mapping, path))
        yield from _table(path, mapping, defaults)
        left = [
            inner
            for name, key in mapping.keys.items()
            for inner in _mappings(f"{path}.{name}" if path else name, key.shape)
        ] + left


def _anchor(title: str) -> str:
    """What GitHub and mkdocs make of a title."""
    return re.sub(r"[^a-z0-9 _-]", "", title.lower())


def _table(path: str, mapping: KnownKeys, defaults: Mapping[str, str]) -> Iterator[str]:
    if mapping.bare:
        yield f"A value that is no mapping is one for `{mapping.bare}`.\n"
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, key in mapping.keys.items():
        default = defaults.get(f"{path}.{name}" if path else name) or "–"
        yield f"| `{name}` | {_value(key.shape)} | {default} | {key.meaning} |"
    yield ""


def _mappings(path: str, shape: ValueShape) -> Iterator[tuple[str, KnownKeys]]:
    """Mappings of known keys in a value, with their paths."""
    if isinstance(shape, KnownKeys):
        yield path, shape
    elif isinstance(shape, MapOf):
        yield from _mappings(f"{path}.NAME", shape.item)
    elif isinstance(shape, ListOf):
        yield from _mappings(f"{path}[]", shape.item)


def _value(shape: ValueShape) -> str:
    """In words, what a value must be."""
    if isinstance(shape, Number):
        limits = {"above": shape.above, "from": shape.minimum, "up to": shape.maximum}
        bounds = [f"{word} {limit:,}" for word, limit in limits.items() if limit is not None]
        return " ".join(["a whole number" if shape.whole else "a number", *bounds])
    if isinstance(shape, Flag):
        return "`true` or `false`"
    if isinstance(shape, Text):
        return shape.form.expected
    if isinstance(shape, Words):
        return ", ".join(f"`{word}`" for word in shape.options)
    if isinstance(shape, ListOf):
        return f"a list: {_value(shape.item)}"
    if isinstance(shape, OneOf):
        return f"{_value(shape.text)}, or {_value(shape.other)}"
    if isinstance(shape, MapOf):
        return f"by name: {_value(shape.item)}"
    return "a mapping, below" if isinstance(shape, KnownKeys) else "a mapping"


def _defaults(owner: type, path: str) -> dict[str, str]:
    """What holds where the file is silent, by path."""
    plain = {item.name: item for item in fields(owner)}
    found: dict[str, str] = {}
    for item in key_fields(owner):
        place = ".".join(part for part in (path, item.key.group.name, item.key_name) if part)
        found[place] = "required" if item.required else _shown(item.name, plain[item.name].default)
        inner = typing.get_args(item.kind)
        step = "" if not inner else "[]" if inner[-1] is Ellipsis else ".NAME"
        for kind in inner or (item.kind,):
            if is_dataclass(kind):
                found |= _defaults(typing.cast("type", kind), f"{place}{step}")
    return found


def _shown(name: str, default: object) -> str:
    if isinstance(default, Enum):
        return f"`{default.value}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple) and default:
        return f"`{'-'.join(f'{hour:g}' for hour in default)}`"
    if isinstance(default, int | float):
        unit = "s" if name.endswith("_s") else "m" if name == "minutes" else ""
        return f"`{default:g}{unit}`"
    return f"`{default}`" if isinstance(default, str) and default else ""


def main() -> int:
    """Write the page, or tell whether it is up to date."""
    text = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if current != text:
            told = "docs/tritongen-yaml.md is not up to date: python scripts/intent_page.py\n"
            sys.stderr.write(told)
        return int(current != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
