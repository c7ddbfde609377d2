"""What is in the wheel and in the sdist."""

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.packages import ROOT, make_package

# What a user who installs the wheel must find in it, beside the modules.
DATA = ("templates", "compose")


def members(wheel: Path) -> Mapping[str, bytes]:
    """Content of every file of a wheel, by path."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def of_checkout(folder: Path) -> Mapping[str, bytes]:
    """Content of every file of a source folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("name", DATA)
def test_data_of_the_wheel_is_that_of_the_checkout(wheel: Path, name: str) -> None:
    prefix = f"tritongen/_data/{name}/"
    found = {
        path.removeprefix(prefix): data
        for path, data in members(wheel).items()
        if path.startswith(prefix)
    }
    assert found == of_checkout(ROOT / name)
    assert found


def test_modules_of_the_wheel_are_those_of_the_checkout(wheel: Path) -> None:
    found = {
        path.removeprefix("tritongen/"): data
        for path, data in members(wheel).items()
        if path.startswith("tritongen/") and not path.startswith("tritongen/_data/")
    }
    assert found == of_checkout(ROOT / "generator" / "tritongen")
    assert "py.typed" in found


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {path.partition("/")[0] for path in members(wheel)}
    (info,) = tops - {"tritongen"}
    assert info.endswith(".dist-info")
    assert f"{info}/licenses/LICENSE" in members(wheel)
    assert b"tritongen = tritongen.__main__:main" in members(wheel)[f"{info}/entry_points.txt"]


def test_the_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "tests/conftest.py"):
        assert (source / name).is_file()
    assert not list(source.rglob("__pycache__"))
    assert not list(source.rglob(".venv"))
    target = tmp_path / "dist"
    target.mkdir()
    again = members(make_package(source, "wheel", target))
    assert again == members(wheel)


def test_a_package_names_authors_and_in_a_workflow_the_projects_pages(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/tritongen")
    told = metadata(make_package(ROOT, "wheel", tmp_path))
    assert "Author: The tritongen authors" in told
    assert "Project-URL: Source, https://github.com/someone/tritongen" in told
    told, without = (
        [line for line in lines if "Project-URL" not in line] for lines in (told, metadata(wheel))
    )
    assert told == without


def metadata(wheel: Path) -> list[str]:
    """The lines of a wheel's METADATA above the README."""
    (path,) = (name for name in members(wheel) if name.endswith(".dist-info/METADATA"))
    return members(wheel)[path].decode().partition("\n\n")[0].splitlines()
