"""Fetching Triton: once, verified, whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.serving.embedded.fetch import (
    WHEEL_VARIABLE,
    ensure_triton,
    installed,
)
from tritongen.serving.embedded.layout import MINORS
from tritongen.system.user_cache import user_cache

SCRIPT = """
import sys
from pathlib import Path
from tritongen.errors import EnvironmentProblem
from tritongen.serving.embedded.fetch import ensure_triton
steps = set()
try:
    home = ensure_triton(Path(sys.argv[1]), progress=lambda what, *_: steps.add(what))
except EnvironmentProblem as problem:
    print(problem.code, problem.what, *problem.details, sep="\\n")
else:
    print(home.folder, *sorted(steps), sep="\\n")
"""


def fetch(cache: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(cache)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_two_runs_at_once_fetch_it_once(tmp_path):
    runs = [fetch(tmp_path), fetch(tmp_path)]
    outputs = [run.communicate()[0].splitlines() for run in runs]
    homes = {lines[0] for lines in outputs}
    assert len(homes) == 1
    folder = Path(homes.pop())
    unpacked = [lines for lines in outputs if "unpacking Triton" in lines]
    assert len(unpacked) == 1
    home = installed(tmp_path)
    assert home is not None
    assert home.folder == folder
    assert os.access(home.executable, os.X_OK)
    assert all(os.access(home.stub(minor), os.X_OK) for minor in MINORS)
    assert not home.stub(MINORS[-1] + 1).exists()
    # Nothing is left beside it but the lock.
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, "lock"]


def test_a_second_call_needs_no_network(embedded_runtime, monkeypatch):
    monkeypatch.setenv(WHEEL_VARIABLE, "/nowhere.whl")
    assert ensure_triton() == ensure_triton()


def test_no_network_is_a_clear_error_and_leaves_nothing(tmp_path):
    run = fetch(
        tmp_path,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_FIND_LINKS="",
        PIP_RETRIES="0",
        PIP_NO_CACHE_DIR="1",
        **{WHEEL_VARIABLE: ""},
    )
    lines = run.communicate()[0].splitlines()
    assert lines[0] == "TG801"
    assert any("ERROR" in line for line in lines[2:])
    assert [path.name for path in (tmp_path / "triton").iterdir()] == ["lock"]


def test_another_file_is_refused_by_its_hash(tmp_path):
    wheel = tmp_path / "nvidia_pytriton-0.7.0-py3-none-any.whl"
    wheel.write_bytes(b"something else")
    with pytest.raises(EnvironmentProblem) as caught:
        ensure_triton(tmp_path / "cache", wheel)
    assert caught.value.code == "TG802"
    assert caught.value.where == str(wheel)
    assert installed(tmp_path / "cache") is None


def test_a_wheel_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv(WHEEL_VARIABLE, str(tmp_path / "absent.whl"))
    with pytest.raises(EnvironmentProblem) as caught:
        ensure_triton(tmp_path / "cache")
    assert caught.value.code == "TG003"


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem) as caught:
        ensure_triton(tmp_path / "file")
    assert caught.value.code == "TG004"


def test_what_a_killed_run_left_is_swept(tmp_path):
    leftover = tmp_path / "triton" / ".work-old"
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    with pytest.raises(EnvironmentProblem):
        ensure_triton(tmp_path, tmp_path / "absent.whl")
    assert not leftover.exists()


def test_the_cache_follows_the_user_s_wish(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "tritongen"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the convention says: ignore it
    assert user_cache() == Path.home() / ".cache" / "tritongen"
