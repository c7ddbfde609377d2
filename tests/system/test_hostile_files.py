"""Files of a stranger's checkout, in the place of those that the tool reads: no command is held."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli import FREE_PORTS, Project
from support.hostile_names import assert_harmless
from support.watched import watched

MAX_BYTES = 1 << 30
NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def less_deep(path: Path) -> None:
    """Read by the parser, and too deep for what goes through its values."""
    path.write_text(f'{{"schema_version": 1, "target": {"[" * 950}{"]" * 950}}}')


def large_numbers(path: Path) -> None:
    path.write_text(f'{{"schema_version": 1, "renames": 1{"0" * 400}, "size_bytes": 1{"0" * 400}}}')


TRAPS = (pipe, endless, sparse, deep, less_deep, large_numbers)
UP = ["up", "--runtime", "docker", *FREE_PORTS]
# What reads each; `up` ends where it would ask a Docker Engine that is not there.
READERS: dict[str, list[list[str]]] = {
    "model_repository/dense/config.pbtxt": [
        UP, ["check"], ["explain", "dense"], ["export", "compose", "-o", "deploy"],
        ["build", "models", "--check"], ["report"],
    ],
    "model_repository/tritongen.lock": [UP, ["check"], ["build", "models", "--check"]],
    "model_repository/dense/tritongen.lock": [UP, ["check"], ["build", "models", "--check"]],
    "model_repository.plan.json": [["export", "compose", "-o", "deploy"], ["report"]],
    "model_repository/.tritongen.journal": [["build", "models", "--no-trial"]],
    "models/.variants/dense/fixed/variant.json": [
        ["build", "models", "--variant", "dense=fixed"], ["inspect", "models"],
    ],
    "models/tritongen.yaml": [["check"], ["build", "models", "--check"], ["plan", "models"]],
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_no_file_of_a_checkout_holds_a_command(
    trap: Callable[[Path], None], built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    jobs = []
    for number, (name, commands) in enumerate(READERS.items()):
        for place, words in enumerate(commands):
            folder = tmp_path / f"{number}-{place}"
            shutil.copytree(built.folder, folder, symlinks=True)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            trap(path)
            jobs.append((folder, words))
    for (folder, words), end in zip(jobs, watched(jobs, at_once=3), strict=True):
        told = f"{words} in {folder.name}: {end.code} {end.printed}"
        assert end.code in {0, 1, 2, 3}, told
        assert "TG001" not in end.printed, told
        assert "Traceback" not in end.printed, told
        assert end.peak < MAX_BYTES, told
        assert_harmless(end.printed)
