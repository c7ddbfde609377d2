"""The environment that `make` works in: made once, completed, made anew, and kept while offline."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.packages import ROOT, SECONDS, clean_environment

SCRIPT = ROOT / "scripts" / "environment.py"
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}


def ask(folder: Path, extra: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, extra],
        env={**clean_environment(), **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo needs."""
    folder = tmp_path_factory.mktemp("lean") / "env"
    done = ask(folder, "onnx")
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_it_holds_what_the_demo_needs_and_is_left_as_it_is(lean: Path) -> None:
    names = {path.name for path in (lean / "bin").iterdir()}
    assert "tritongen" in names
    assert not {"ruff", "pytest", "mypy"} & names
    stamp = written(lean)
    done = ask(lean, "onnx", **OFFLINE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert written(lean) == stamp


def written(lean: Path) -> tuple[int, int]:
    """Which file the stamp is, and when it was written; to read it changes another time."""
    facts = (lean / ".ready").stat()
    return facts.st_ino, facts.st_mtime_ns


def test_the_whole_one_has_what_the_demo_needs(lean: Path) -> None:
    stamp = lean / ".ready"
    before = stamp.read_text()
    stamp.write_text(before.replace("\nonnx\n", "\ndev\n"))
    assert ask(lean, "onnx", **OFFLINE).returncode == 0
    stamp.write_text(before)
    assert ask(lean, "dev", **OFFLINE).returncode == 1


def test_one_of_another_python_stays_while_no_index_answers(lean: Path) -> None:
    stamp = lean / ".ready"
    before = stamp.read_text()
    stamp.write_text(before.replace(f"Python 3.{sys.version_info.minor} ", "Python 3.9 "))
    done = ask(lean, "onnx", **OFFLINE)
    assert done.returncode == 1
    assert done.stdout.startswith(f"making {lean} anew: it was made by Python 3.9 of ")
    first, *reasons = done.stderr.splitlines()
    assert first.startswith(
        "pip reaches no package index: check the network, and what PIP_NO_INDEX"
    )
    assert any("hatchling" in line for line in reasons)
    assert os.access(lean / "bin" / "tritongen", os.X_OK)

    assert ask(lean, "onnx").returncode == 0
    assert stamp.read_text() == before


def test_a_folder_that_is_no_environment_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert ask(tmp_path, "onnx", **OFFLINE).returncode == 1
    assert (tmp_path / "mine").exists()
    assert not (tmp_path / ".ready").exists()
