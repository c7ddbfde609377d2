"""Models run with the ONNX Runtime of the target's release: fetched once, whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto

from support.cli import FREE_PORTS, Project, dense
from support.onnx_suite import has_locale, suite
from support.small_disk import full_disk
from support.trial_models import FLOAT, model, node
from tritongen.api.building import BuiltRepository
from tritongen.model.progress import silent
from tritongen.model.releases import RELEASES
from tritongen.repository.build import BuildMode, BuildOptions, build
from tritongen.repository.gather_evidence import TrialPolicy
from tritongen.repository.project import load_project, remember_models
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.target_library import VARIABLE

# A release that came before the types of `sums` and `brain`, and whose ONNX Runtime is there for
# this Python.
OLD = "24.10" if sys.version_info < (3, 13) else "24.12"
(TARGET,) = (one.onnxruntime for one in RELEASES if one.tag == OLD)
OWN = version("onnxruntime")
TRITON = f'target: {{cpus: 1, triton: "{OLD}"}}\n'
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
SCRIPT = """
import sys
from tritongen.trial.target_library import target_library
steps = set()
found = target_library(sys.argv[1], lambda what, *_: steps.add(what))
print(found.folder, *sorted(steps), sep="\\n")
"""
# Refused without a trial: operators of training, and a type that the old release has not.
BY_SYNTAX = {"test_gradient_of_add", "test_gradient_of_add_and_mul", "brain"}
# So many servers for the suite: each model is a process of its own.
PARTS = 4


def sums(element: int = TensorProto.UINT8) -> Any:
    """c = a + b on bytes, for which ONNX Runtime 1.20 has no kernel and the installed one has."""
    sizes = [(name, element, ["n", 3]) for name in "ab"], [("c", element, ["n", 3])]
    return model([node("Add", "a b", "c")], *sizes)


def brain() -> Any:
    """y = relu(x) in BF16, which Triton serves from 26.03 on."""
    nodes = [
        node("Cast", "x", "wide", to=FLOAT),
        node("Relu", "wide", "more"),
        node("Cast", "more", "y", to=TensorProto.BFLOAT16),
    ]
    sizes = [(name, TensorProto.BFLOAT16, ["n", 3]) for name in "xy"]
    return model(nodes, sizes[:1], sizes[1:])


@pytest.fixture
def old(project: Project) -> Project:
    """A project for an old Triton with a model that its runtime loads, and one that it does not."""
    project.add("dense/model.onnx", dense())
    project.add("bytes/model.onnx", sums())
    project.write("models/tritongen.yaml", TRITON)
    return project


def told(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item for item in document["findings"] if item["code"] == "TG217"]


def fetching(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, TARGET],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        start_new_session=True,
    )


def test_two_runs_at_once_fetch_it_once_and_a_killed_one_leaves_nothing(tmp_path):
    parent = tmp_path / "tritongen/onnxruntime"
    killed = fetching(tmp_path)
    while not list(parent.glob(".work-*")):
        assert killed.poll() is None
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)  # pip, too
    killed.communicate()
    assert not list(parent.glob(f"{TARGET}-*"))
    outputs = [run.communicate()[0].splitlines() for run in [fetching(tmp_path) for _ in "ab"]]
    (folder,) = {Path(lines[0]) for lines in outputs}
    assert sum(f"downloading ONNX Runtime {TARGET}" in lines for lines in outputs) == 1
    assert sorted(path.name for path in parent.iterdir()) == [folder.name, "lock"]


def test_the_trial_runs_the_target_s(old: Project):
    built = old.json("build", "models", expect=1)
    assert told(built) == []
    assert built["refused"] == [{"name": "bytes", "codes": ["TG145"]}]
    (error,) = (item for item in built["findings"] if item["code"] == "TG145")
    assert f"onnxruntime {TARGET} does not load it" in error["message"]
    found = old.json("inspect", "models", expect=1)["models"]
    versions = [item["evidence"] for item in found]
    assert {item["runtime_version"] for item in versions} == {TARGET}
    assert {item["target_runtime_version"] for item in versions} == {TARGET}


def test_the_installed_one_on_wish_is_told_once(old: Project):
    built = old.json("build", "models", **{VARIABLE: "installed"})
    (item,) = told(built)
    assert item["severity"] == "warning"
    assert item["message"] == (
        f"bytes, dense: tried with onnxruntime {OWN}; Triton {OLD} has {TARGET}: "
        f"{VARIABLE} asks for it"
    )
    # The evidence holds, and is not said to be what it is not.
    again = old.json("build", "models", "--check")
    assert not again["drift"]
    (item,) = told(again)
    assert item["severity"] == "info"
    # The server's library refuses what that trial let through.
    up = old.json("up", *FREE_PORTS, "--keep-going", expect=None)
    try:
        ready = {item["name"]: item["ready"] for item in up["models"]}
        assert ready == {"dense": True, "bytes": False}
        installed = {VARIABLE: "installed"}
        for variables, where in ({}, False), (installed, True):
            verified = old.json("verify", expect=1, **variables)["models"]
            (item,) = (item for item in verified if item["name"] == "dense")
            assert item["verdict"] == "equal"
            assert ("on the installed ONNX Runtime" in item["reason"]) is where
    finally:
        old.run("down")


def test_without_a_network_the_rest_goes_on(old: Project, tmp_path: Path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    built = old.json("build", "models", **NO_INDEX, **cache)
    (item,) = told(built)
    assert f"{TARGET}: pip could not download onnxruntime {TARGET}" in item["message"]
    up = old.json("up", *FREE_PORTS, **NO_INDEX, **cache, expect=None, TRITONGEN_TRITON_WHEEL="")
    assert up["error"]["code"] == "TG801"  # Triton itself cannot be had in an empty cache


def test_a_file_that_is_not_the_wheel_is_not_used(old: Project, tmp_path: Path):
    tag = f"cp3{sys.version_info.minor}"
    name = f"onnxruntime-{TARGET}-{tag}-{tag}-manylinux_2_28_x86_64.whl"
    (tmp_path / name).write_bytes(b"something else")
    found = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    built = old.json("build", "models", XDG_CACHE_HOME=str(tmp_path / "cache"), **found)
    (item,) = told(built)
    assert f"the downloaded ONNX Runtime {TARGET} is not the expected file" in item["message"]
    assert not list((tmp_path / "cache/tritongen/onnxruntime").glob(f"{TARGET}-*"))


def test_a_full_disk_costs_the_download_alone(old: Project, tmp_path: Path):
    disk = tmp_path / "disk"
    with full_disk(disk, left=4 << 20, size=8 << 20):
        built = old.json("build", "models", XDG_CACHE_HOME=str(disk))
        (item,) = told(built)
        assert f"Triton {OLD} has {TARGET}: " in item["message"]
        assert not list((disk / "tritongen/onnxruntime").glob(f"{TARGET}-*"))


@pytest.mark.parametrize(
    ("triton", "part"),
    [
        pytest.param(triton, part, marks=pytest.mark.xdist_group(f"suite of {triton}"))
        for triton in (OLD, "26.03", "26.08")
        for part in range(PARTS)
    ],
)
def test_what_build_writes_for_a_release_loads_in_its_runtime(
    project: Project, tmp_path_factory: pytest.TempPathFactory, triton: str, part: int
):
    """And what it refuses does not: the whole suite, and two models whose types are new."""
    models = {one.name: one.path.read_bytes() for one in suite()[part::PARTS]}
    if part == 0:
        models |= {"bytes": sums().SerializeToString(), "brain": brain().SerializeToString()}
    built = offer(project, triton, models)
    refused = {item["name"] for item in built["refused"]}
    assert {item["name"] for item in built["models"]} == {*models} - refused
    if part == 0:
        assert {"bytes", "brain"} & refused == ({"bytes", "brain"} if triton == OLD else set())
    # A locale that this machine lacks is told, and no refusal: older runtimes load without it.
    waiting = {item["model"] for item in built["findings"] if item["code"] == "TG218"}
    assert all("strnorm" in name and not has_locale() for name in waiting)
    up = project.json("up", *FREE_PORTS, "--keep-going", expect=None)
    project.run("down")
    ready = {item["name"]: item["ready"] for item in up["models"]}
    assert {*ready} == {*models} - refused
    assert {name for name in ready if not ready[name]} <= waiting
    # Once more without a trial, which writes what it would have refused.
    unproven = Project(tmp_path_factory.mktemp("refused"))
    built = offer(unproven, triton, {name: models[name] for name in refused}, trial=False)
    by_syntax = {item["name"] for item in built["refused"]}
    assert by_syntax == refused & BY_SYNTAX
    problem = unproven.error("up", *FREE_PORTS, "--keep-going", expect=3)
    assert problem["code"] == "TG822"
    others = [line.split(":")[0] for line in problem["details"] if line.endswith("[TG822]")]
    assert {problem["message"].split()[0], *others} == refused - by_syntax


def offer(
    project: Project, triton: str, models: Mapping[str, bytes], *, trial: bool = True
) -> dict[str, Any]:
    """The result of `build` on these models for that release; their times are hardly measured."""
    for name, message in models.items():
        project.write(f"models/{name}/model.onnx", message)
    project.write("models/tritongen.yaml", f'target: {{cpus: 1, triton: "{triton}"}}\n')
    policy = TrialPolicy(trial, remeasure=False, options=TrialOptions(cores=1, time_budget_s=0.1))
    given = load_project(project.models, project.repository)
    built = BuiltRepository(build(given, BuildOptions(BuildMode.WRITE, policy), silent))
    remember_models(project.repository, project.models)
    return built.to_dict()
