"""Ctrl-C, SIGTERM and kill -9: no process is left, and every file is whole."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import FREE_PORTS, SECONDS, Project, dense, tree, trial_of
from support.triton import EmbeddedRuntime
from tritongen.serving.orphans import find_servers

ENDINGS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is left"
        time.sleep(0.01)


def many(project: Project, count: int) -> Project:
    for number in range(count):
        project.add(f"m{number}/model.onnx", dense(seed=number))
    return project


def servers_of(project: Project) -> list[str]:
    folder = project.folder.resolve()
    return [found.server for found in find_servers() if found.project == folder]


def wait_for_server(project: Project, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + SECONDS
    while not servers_of(project):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", ENDINGS)
def test_a_build_is_interrupted_in_a_trial(project: Project, number: signal.Signals) -> None:
    many(project, 3)
    process = project.start("build", "models", "--format", "json")
    trial = trial_of(process)
    process.send_signal(number)
    out, errors = process.communicate()
    assert process.returncode == ENDINGS[number]
    assert "TG007" in out
    assert "TG007" in errors
    assert "Traceback" not in errors
    wait_gone(trial)
    assert not project.repository.exists()


def test_a_killed_build_leaves_no_trial(project: Project) -> None:
    many(project, 3)
    process = project.start("build", "models")
    trial = trial_of(process)
    process.kill()
    process.communicate()
    wait_gone(trial)
    assert not project.repository.exists()
    assert project.json("build", "models", "--no-trial")["written"]


def moments(project: Project) -> Iterator[float]:
    """Points in time spread over a build, as long as one takes now."""
    begun = time.monotonic()
    project.run("build", "models", "--no-trial", "-o", "measure")
    seconds = time.monotonic() - begun
    yield from (seconds * (0.4 + 0.1 * step) for step in range(7))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_build_that_dies_at_any_moment(project: Project, number: signal.Signals) -> None:
    """The repository is the old one or the new one, and the next command sees to it."""
    many(project, 12)
    texts: dict[int, dict[str, bytes]] = {}
    for version, cpus in enumerate(("16", "24")):
        project.run("build", "models", "--no-trial", "--cpus", cpus, "-o", f"v{version}")
        texts[version] = dict(tree(project.folder / f"v{version}"))
    project.run("build", "models", "--no-trial", "--cpus", "16")
    wanted = "24"
    for pause in moments(project):
        process = project.start("build", "models", "--no-trial", "--cpus", wanted)
        time.sleep(pause)
        process.send_signal(number)
        process.communicate()
        # A reader finishes what was begun.
        assert project.json("check")["summary"]["errors"] == 0
        found = dict(tree(project.repository))
        left = {path for path in found if ".tmp" in Path(path).name or "journal" in path}
        current = {path: data for path, data in found.items() if path not in left}
        assert current in texts.values(), "a mixture"
        assert not {path for path in left if "journal" in path}
        wanted = "16" if current == texts[1] else "24"
    project.run("build", "models", "--no-trial", "--cpus", "24")
    assert dict(tree(project.repository)) == texts[1], "nothing is left beside it"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_is_interrupted(
    built: Project, number: signal.Signals, embedded_runtime: EmbeddedRuntime
) -> None:
    process = built.start("up", *FREE_PORTS)
    wait_for_server(built, process)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == ENDINGS.get(number, -9)
    assert "Traceback" not in errors
    deadline = time.monotonic() + SECONDS
    while servers_of(built):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert built.error("status", expect=3)["code"] == "TG809"
    # Nothing stands in the way of the next one.
    built.run("up", *FREE_PORTS)
    built.run("down")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground(
    built: Project, number: signal.Signals, embedded_runtime: EmbeddedRuntime
) -> None:
    process = built.start("up", *FREE_PORTS, "--foreground", "--format", "json")
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n") or text.count("{") > text.count("}"):
        line = process.stdout.readline()
        assert line, process.communicate()
        text += line
    assert all(item["ready"] for item in built.json("status")["models"])
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 0
    assert "Started HTTPService" in errors, "the log is shown"
    assert not servers_of(built)


def test_the_foreground_ends_with_its_server(
    built: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    process = built.start("up", *FREE_PORTS, "--foreground")
    state = built.folder / ".tritongen/server.json"
    wait_for_server(built, process)
    while not state.exists() or built.run_any("status").code != 0:
        time.sleep(0.1)
    pid = int(state.read_text().partition('"pid": ')[2].partition(",")[0])
    os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 3
    assert "TG812" in errors
    assert not servers_of(built)
