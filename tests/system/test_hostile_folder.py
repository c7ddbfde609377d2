"""A project folder that a stranger prepared: nothing of it runs or is followed unasked."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import FREE_PORTS, Project

# pip finds no index, so that a start ends where it would download Triton.
NO_TRITON = {
    "DOCKER_HOST": "unix:///nowhere/docker.sock",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
    "TRITONGEN_TRITON_WHEEL": "",
}
# What the tool imports or starts as a program. What the interpreter itself imports before the first
# line of a program is beyond any program's reach: contextlib, importlib, warnings and their like.
SHADOWS = ("argparse", "jinja2", "json", "numpy", "onnx", "pip", "signal", "tempfile", "yaml")


@pytest.fixture
def trapped(built: Project) -> Project:
    """A project beside modules that write down that they run."""
    for name in SHADOWS:
        for file in ("__init__.py", "__main__.py"):
            built.write(f"{name}/{file}", "open('ran', 'a').write(f'{__name__}\\n')\n")
    return built


@pytest.mark.parametrize("words", [("doctor",), ("up", "--runtime", "embedded")])
def test_no_module_of_the_folder_runs_in_place_of_pip(words, trapped, tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    ran = trapped.run(*words, *FREE_PORTS, expect=3, **NO_TRITON, **cache)
    assert "TG801" in ran.out + ran.err
    assert not (trapped.folder / "ran").exists()


def test_no_module_of_the_folder_runs_in_the_tool(trapped):
    """`python -m` has the current folder first on its path."""
    done = subprocess.run(
        [sys.executable, "-m", "tritongen", "build", "models", "--check"],
        cwd=trapped.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (trapped.folder / "ran").exists()


def test_the_sources_folder_is_a_place_to_run_from():
    sources = Path(__file__).resolve().parents[2] / "generator"
    command = [sys.executable, "-S", "-c", "import tritongen; print(tritongen.__file__)"]
    assert subprocess.check_output(command, cwd=sources, text=True).startswith(str(sources))
    command = [sys.executable, "-S", "-m", "tritongen", "--version"]
    assert subprocess.check_output(command, cwd=sources, text=True).startswith("tritongen ")
