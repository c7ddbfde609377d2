"""Every code stands once, with a title and a fix, and is one that the tool can say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tritongen
import tritongen.errors as registry
from tritongen.errors import CODES

PACKAGE = Path(tritongen.__file__).parent


def said_by_the_package() -> Iterator[str]:
    """Every code in a text of the package that is no docstring."""
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and id(node) not in docs:
                yield from re.findall(r"\bTG\d{3}\b", str(node.value))


def test_the_table_is_one_line_a_code_in_order():
    head, *rows = Path(registry.__file__).with_name("codes.tsv").read_text("utf-8").splitlines()
    assert head.split("\t") == ["code", "title", "fix"]
    written = [row.split("\t")[0] for row in rows]
    assert written == sorted(set(written)) == list(CODES)
    assert all(re.fullmatch(r"TG\d{3}\t\S[^\t]*\S\t\S[^\t]*\S", row) for row in rows)


def test_the_table_holds_what_the_tool_says_and_nothing_else():
    assert set(said_by_the_package()) == set(CODES)


def test_every_code_says_what_is_wrong_and_what_to_do():
    for entry in CODES.values():
        assert entry.title
        assert entry.fix.endswith((".", "`", "?", "…")), entry.id
