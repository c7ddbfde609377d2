"""Every fix is tested as the others are: a golden case, a property, a run in the real Triton."""

import ast
from pathlib import Path

import pytest

from tritongen.errors import CODES
from tritongen.optimize.fixes import FIXES

TESTS = Path(__file__).parents[2]


def literals(path: str) -> set[str]:
    """Every text constant of a test module."""
    tree = ast.parse((TESTS / path).read_text())
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("name", FIXES)
def test_a_golden_case(name: str) -> None:
    found = (TESTS / "golden" / "optimize" / f"{name}.txt").read_text()
    assert f"# {name}: " in found


@pytest.mark.parametrize("name", FIXES)
def test_a_property_test(name: str) -> None:
    assert name in literals("property/test_optimize_fixes.py")


@pytest.mark.parametrize("name", FIXES)
def test_its_codes_exist(name: str) -> None:
    assert set(FIXES[name].codes) <= set(CODES)
    assert FIXES[name].summary


@pytest.mark.parametrize("name", FIXES)
def test_its_line_in_the_docs(name: str) -> None:
    page = (TESTS.parent / "docs" / "optimize.md").read_text()
    codes = ", ".join(FIXES[name].codes) or "–"
    assert f"| `{name}` | {codes} | " in page
