"""Every benchmark is named in the registry, and every name is a program that can be run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def programs() -> set[str]:
    """Files that a person can run: those with a `main`."""
    return {
        path.stem
        for path in BENCHMARKS.glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text()).body
        )
    } - {"run"}


def listed() -> set[str]:
    command = [sys.executable, BENCHMARKS / "run.py", "--list"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0] for line in lines}


def test_the_registry_names_every_program():
    assert listed() == programs()


@pytest.mark.parametrize("name", sorted(programs()))
def test_every_program_takes_its_arguments_from_its_caller(name):
    (main,) = [
        node
        for node in ast.parse((BENCHMARKS / f"{name}.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    ]
    assert [item.arg for item in main.args.args] == ["argv"]


def test_an_unknown_name_is_told():
    command = [sys.executable, BENCHMARKS / "run.py", "nosuch"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "startup" in done.stderr
