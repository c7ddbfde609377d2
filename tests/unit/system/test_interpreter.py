"""Python programs that the tool starts: what they import from."""

import os
import subprocess
from pathlib import Path

import pytest

from tritongen.system.interpreter import module_command, module_environment


@pytest.mark.parametrize(
    ("given", "kept"),
    [("", ()), (":", ()), (":lib:", ("lib",)), ("/a:lib", ("/a", "lib"))],
)
def test_an_empty_entry_of_the_path_is_no_folder(given, kept, tmp_path, monkeypatch):
    """`PYTHONPATH=$PYTHONPATH:lib` would name the current folder where it was empty before."""
    monkeypatch.chdir(tmp_path)
    found = module_environment({"PYTHONPATH": given, "A": "b"})
    assert found.pop("A") == "b"
    paths = [item for item in found.get("PYTHONPATH", "").split(os.pathsep) if item]
    assert paths == [str(tmp_path / item) for item in kept]


def test_a_module_is_not_taken_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "this.py").write_text("print('not that one')\n")
    (tmp_path / "here.py").write_text("print('here')\n")
    monkeypatch.chdir(tmp_path)
    environment = module_environment({"PYTHONPATH": ":"})
    command = module_command("this")
    assert "Zen of Python" in subprocess.check_output(command, env=environment, text=True)
    environment = module_environment({}, Path())
    assert subprocess.check_output(module_command("here"), env=environment, text=True) == "here\n"
