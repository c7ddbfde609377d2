"""The page of the first hour, run as it stands."""

import shlex
import subprocess
import sys

import pytest

from support.cli import FREE_PORTS
from support.pages import blocks

PAGE = "docs/index.md"


@pytest.mark.timeout(600)
def test_every_command_of_the_page_ends_well(project, embedded_runtime):
    (script,), (intent,) = blocks(PAGE, "python"), blocks(PAGE, "yaml")
    project.write("train.py", script.text)
    subprocess.run([sys.executable, "train.py"], cwd=project.folder, check=True)
    commands = [
        command.removeprefix("tritongen ")
        for block in blocks(PAGE, "console")
        for command in block.commands
        if command.startswith("tritongen ")
    ]
    assert len(commands) >= 15
    try:
        for command in commands:
            words = shlex.split(command)
            # A server of the tests takes free ports.
            more = FREE_PORTS if words[0] == "up" else ()
            out = project.run(*words, *more).out
            if words[0] == "init":
                project.write("models/tritongen.yaml", intent.text)
            if words[0] == "verify":
                assert out.count("equal") == 2, out
            if words[0] == "client":
                assert "/v2/models/irises/infer" in out
    finally:
        project.run("down", expect=None)
    assert (project.folder / "deploy" / "compose.yaml").exists()
