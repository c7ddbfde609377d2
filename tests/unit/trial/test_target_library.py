"""Which ONNX Runtime a child process takes, as far as it is decided without a download."""

import re
import sys
import zipfile
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.model.releases import RELEASES
from tritongen.trial import target_library as library
from tritongen.trial.target_library import TABLE, VARIABLE, TargetLibrary, target_library

INSTALLED = version("onnxruntime")
ROWS = [line.split("\t") for line in TABLE.read_text().splitlines()]


@pytest.mark.parametrize("wanted", ["", INSTALLED])
def test_the_installed_one_is_taken_where_it_is_the_target_s(wanted):
    assert target_library(wanted) == TargetLibrary()


def test_the_installed_one_is_taken_on_wish(monkeypatch):
    monkeypatch.setenv(VARIABLE, "installed")
    assert target_library("1.19.2") == TargetLibrary(reason=f"{VARIABLE} asks for it")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("1.16.3", "1.16.3 runs with numpy 1 only"),
        ("1.99.0", f"there is no 1.99.0 for Python 3.{sys.version_info.minor} on "),
    ],
)
def test_what_does_not_run_here_is_not_fetched(wanted, reason):
    found = target_library(wanted)
    assert not found.folder
    assert found.reason.startswith(reason)


def test_the_table_has_the_wheels_of_every_release():
    assert ROWS[0] == ["version", "python", "machine", "sha256"]
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for *_, sha in ROWS[1:])
    assert len({sha for *_, sha in ROWS[1:]}) == len(ROWS) - 1
    # 1.17.2 was never published.
    assert {row[0] for row in ROWS[1:]} == {one.onnxruntime for one in RELEASES} - {"1.17.2"}


def test_of_a_wheel_what_runs_models_is_unpacked(tmp_path):
    names = {"onnxruntime/__init__.py", "onnxruntime/capi/a.so", "onnxruntime/LICENSE"}
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        for name in (*names, "onnxruntime/tools/b.py", "onnxruntime-1.dist-info/RECORD"):
            archive.writestr(name, "x")
    library._unpack(None, tmp_path / "a.whl", tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} == names
    wheel = SimpleNamespace(title="ONNX Runtime")
    (tmp_path / "b.whl").write_bytes(b"damaged")
    with pytest.raises(EnvironmentProblem, match="the wheel of ONNX Runtime is damaged"):
        library._unpack(wheel, tmp_path / "b.whl", tmp_path / "other")
