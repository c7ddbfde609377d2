"""The notebook of the documentation, run where the first hour has left a server."""

import subprocess
import sys

import pytest

from support.cli import FREE_PORTS, dense
from support.pages import ROOT


@pytest.mark.timeout(300)
def test_the_notebook_probes_and_plots(project, embedded_runtime) -> None:
    project.add("irises/model.onnx", dense())
    project.run("build", "models")
    try:
        project.run("up", *FREE_PORTS)
        done = subprocess.run(
            [sys.executable, ROOT / "scripts/notebook.py"], cwd=project.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        project.run("down", expect=None)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 cells ran and drew 2 figures\n"
