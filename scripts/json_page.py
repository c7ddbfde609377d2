"""Writes docs/json.md from the schemas of what commands print; `--check` compares instead.

Tests hold every schema against real documents; nothing that it does not name may stand in them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.cli_schemas import FINDING, SCHEMAS  # noqa: E402  (the tests' own, found by the line above)
from support.optimize.schema import OPTIMIZE  # noqa: E402  (as above)

PAGE = ROOT / "docs" / "json.md"
INTRO = """\
# JSON

Generated from the schemas that the tests hold what commands print against, by
`python scripts/json_page.py`.

`--format json` prints one object, on stdout alone. It has a `schema_version`, which a change of
meaning raises; keys may be added under the same number. A command that fails prints `error`
instead; the exit code says which kind. `[]` is a list, `?` a key that may be absent. The schema of
`tritongen.yaml` is printed by `tritongen init --schema`; of what [the other commands](commands.md)
print, their pages tell.
"""
NAMES = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
    "null": "null", "object": "object",
}  # fmt: skip


def page() -> str:
    """Every document, key by key."""
    lines = [INTRO]
    documents = sorted({**SCHEMAS, "optimize": OPTIMIZE}.items())
    for name, schema in [*documents, ("finding", FINDING)]:
        lines += [f"## {name}", "", "| key | value |", "|---|---|"]
        lines += [f"| `{path}` | {value} |" for path, value in _keys(schema, "")]
        lines.append("")
    return "\n".join(lines)


def _keys(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Every key below an object, with what stands there."""
    for name, value in schema["properties"].items():
        absent = "" if name in schema["required"] else "?"
        inner, suffix, nullable = _inside(value)
        own = f"{path}{name}{absent}{suffix}"
        if inner is FINDING:
            yield own, "[finding](#finding)"
        elif "properties" in inner:
            if nullable:
                yield own, "object or null"
            yield from _keys(inner, f"{own}.")
        else:
            yield own, _said(inner) + (" or null" if nullable else "")


def _inside(value: dict[str, Any]) -> tuple[dict[str, Any], str, bool]:
    """What a list or an optional value holds, how its path goes on, and whether it may be null."""
    suffix, nullable = "", False
    while True:
        others = [one for one in value.get("anyOf", []) if one.get("type") != "null"]
        if value.get("type") == "array":
            value, suffix = value["items"], f"{suffix}[]"
        elif len(others) == 1:
            (value,), nullable = others, True
        else:
            return value, suffix, nullable


def _said(value: dict[str, Any]) -> str:
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "anyOf" in value:
        return " or ".join(_said(one) for one in value["anyOf"])
    kinds = value["type"]
    return " or ".join(NAMES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))


def main() -> int:
    """Write the page, or tell whether it is up to date."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.stderr.write("docs/json.md is not up to date: python scripts/json_page.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
