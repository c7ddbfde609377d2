"""The page of the first hour, run as it stands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import FREE_PORTS

PAGE = Path(__file__).parents[2] / "docs" / "index.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.timeout(600)
def test_every_command_of_the_page_ends_well(project, embedded_runtime):
    (script,), (intent,) = blocks("python"), blocks("yaml")
    project.write("train.py", script)
    subprocess.run([sys.executable, "train.py"], cwd=project.folder, check=True)
    commands = [
        line.removeprefix("$ tritongen ")
        for block in blocks("console")
        for line in block.splitlines()
        if line.startswith("$ tritongen ")
    ]
    assert len(commands) >= 15
    try:
        for command in commands:
            words = shlex.split(command)
            # A server of the tests takes free ports.
            more = FREE_PORTS if words[0] == "up" else ()
            out = project.run(*words, *more).out
            if words[0] == "init":
                project.write("models/tritongen.yaml", intent)
            if words[0] == "verify":
                assert out.count("equal") == 2, out
            if words[0] == "client":
                assert "/v2/models/irises/infer" in out
    finally:
        project.run("down", expect=None)
    assert (project.folder / "deploy" / "compose.yaml").exists()
