"""Writes docs/json.md from the schemas of what commands print; `--check` compares instead.

Tests hold every schema against real documents; nothing that it does not name may stand in them.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.cli_schemas import FINDING  # noqa: E402  (the tests' own, found by the line above)
from support.result_schemas import DOCUMENTS, LATENCY, RANGE  # noqa: E402  (as above)

PAGE = ROOT / "docs" / "json.md"
INTRO = """\
# JSON

Generated from the schemas that the tests hold what commands print against, by
`python scripts/json_page.py`.

`--format json` prints one object, on stdout alone. It has a `schema_version`, which a change of
meaning raises; keys may be added under the same number. A command that fails prints `error`
instead; the exit code says which kind. `[]` is a list, `?` a key that may be absent. Numbers are in
the unit that stands behind them; an interval is its `value` with the ends `low` and `high`. The
schema of `tritongen.yaml` is printed by `tritongen init --schema`. `client` prints its example
alone: its document is that of [the API](api.md). `explain TG…` is that of a code.
"""
NAMES = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
    "null": "null", "object": "object",
}  # fmt: skip
# Objects that stand in many places, each with a section of its own.
FORMS = {"finding": FINDING, "interval": RANGE, "latency": LATENCY}
# By the end of a key, which holds for what stands below it.
UNITS = {
    "_per_s": "per second", "_per_hour": "USD an hour", "_per_month": "USD a month",
    "_per_million": "USD for a million requests", "_ns": "ns", "_us": "µs", "_ms": "ms", "_s": "s",
    "_bytes": "bytes", "_share": "0 to 1",
}  # fmt: skip


def page() -> str:
    """Every document, key by key."""
    lines = [INTRO]
    for name, schema in [*sorted(DOCUMENTS.items()), *FORMS.items()]:
        lines += [f"## {name}", "", "| key | value |", "|---|---|"]
        lines += [f"| `{path}` | {value} |" for path, value in _keys(schema, "")]
        lines.append("")
    return "\n".join(lines)


def _keys(schema: dict[str, Any], path: str, above: str = "") -> Iterator[tuple[str, str]]:
    """Every key below an object, with what stands there and its unit."""
    for name, value in schema["properties"].items():
        absent = "" if name in schema["required"] else "?"
        inner, suffix, nullable = _inside(value)
        own = f"{path}{name}{absent}{suffix}"
        ends = (unit for end, unit in UNITS.items() if name.endswith(end))
        unit = inner.get("description") or next(ends, above)
        tail = (" or null" if nullable else "") + (f", {unit}" if unit else "")
        if form := _form(inner):
            yield own, f"[{form}](#{form}){tail}"
        elif "properties" in inner:
            if nullable:
                yield own, "object or null"
            yield from _keys(inner, f"{own}.", unit)
        else:
            yield own, _said(inner) + tail


def _form(value: dict[str, Any]) -> str:
    """The name of a form that has the value's keys; empty for others."""
    keys = value.get("properties", {}).keys()
    return next((name for name, form in FORMS.items() if form["properties"].keys() == keys), "")


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
        return f"`{json.dumps(value['const'])}`".replace('"', "")
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "anyOf" in value:
        return " or ".join(_said(one) for one in value["anyOf"])
    if value.get("type") == "array":
        return f"list of {_said(value['items'])}"
    return " or ".join(NAMES[kind] for kind in _kinds(value))


def _kinds(value: dict[str, Any]) -> list[str]:
    """Types that a value may have, where it is no list and no choice."""
    kinds = value.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


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
