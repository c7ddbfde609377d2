"""A caller of `tritongen.api` is checked by mypy, strictly, and its mistakes are found."""

import subprocess
import sys
from pathlib import Path

CALLER = """\
from pathlib import Path

from tritongen import api
from tritongen.errors import TritongenError


def progress(what: str, done: int, total: int) -> None:
    pass


def codes(repository: Path) -> list[str]:
    try:
        built = api.build("models", api.BuildRequest(mode="check"), progress=progress)
        checked = api.check(repository, select=("TG5",))
    except TritongenError as problem:
        return [problem.code]
    findings = (*built.findings, *checked.findings, *api.explain("magika").findings)
    return [item.code for item in findings] + sorted(api.plan().to_dict())


text: str = api.client("magika", language="curl").text
servable: list[bool] = [item.facts.servable for item in api.inspect("models").models]
"""
MISTAKES = """\
from tritongen import api

api.biuld("models")
api.build(mode="check")
api.BuildRequest(mode="chekc")
api.client("magika", language="java")
"""


def checked(folder: Path, program: str) -> list[str]:
    (folder / "caller.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "caller.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith("caller.py")]


def test_a_caller_is_checked_by_its_types(tmp_path):
    assert checked(tmp_path, CALLER) == []
    lines = {line.split(":")[1] for line in checked(tmp_path, MISTAKES)}
    assert lines == {"3", "4", "5", "6"}
