"""The tool as a user runs it: the installed command in a project folder of its own.

Fixtures (registered in ``conftest.py``):

- ``project``: an empty project folder.
- ``built``: a project whose models are tried and whose repository is written, copied for each test
  from one that is built once a session.
- ``served``: such a project with its server up, shared by a module.
"""

import ctypes
import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from support.commands import TRITONGEN, run_command
from support.onnx_models import external, save, with_weights
from support.trial_models import FLOAT, INT64, constant, model, node, weights
from support.triton import EmbeddedRuntime
from tritongen.model.lock import lock_text
from tritongen.repository.lock_file import read_lock

FREE_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
SECONDS = 240.0


@dataclass(frozen=True)
class Ran:
    """What one command left."""

    code: int
    out: str
    err: str


def drop_override() -> None:
    """Root loses its right to read and write everything; runs in the child before it starts."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


class Project:
    """A project folder and the commands run in it.

    Args:
        folder: of the project.
        before: runs in each command's process before the command does.
    """

    def __init__(self, folder: Path, before: Callable[[], None] | None = None) -> None:
        self.folder = folder
        self._before = before
        self.models = folder / "models"
        self.repository = folder / "model_repository"

    def run(self, *arguments: str, expect: int | None = 0, **variables: str) -> Ran:
        """Run a command to its end; its exit code must be the expected one.

        Args:
            *arguments: of the command.
            expect: exit code; any when None.
            **variables: of the environment, over this process's.
        """
        ran = self.run_any(*arguments, **variables)
        assert expect is None or ran.code == expect, (
            f"{arguments}: {ran.code}\n{ran.out}\n{ran.err}"
        )
        return ran

    def run_any(self, *arguments: str, **variables: str) -> Ran:
        """Run a command to its end, whatever its exit code; it must not break down."""
        if self._before is None:
            done = run_command(arguments, self.folder, variables, SECONDS)
        else:
            done = subprocess.run(
                [TRITONGEN, *arguments],
                cwd=self.folder,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
                preexec_fn=self._before,
            )
        ran = Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())
        assert "Traceback" not in ran.err
        assert "TG001" not in ran.out + ran.err
        return ran

    def powerless(self) -> "Project":
        """The same project for a user whom permissions bind, root too."""
        return Project(self.folder, drop_override)

    def limited(self, size: int) -> "Project":
        """The same project where no file can grow beyond `size` bytes, as on a full disk."""
        limits = (size, size)
        return Project(self.folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits))

    def json(self, *arguments: str, expect: int | None = 0, **variables: str) -> dict[str, Any]:
        """The one object that a command prints with ``--format json``."""
        ran = self.run(*arguments, "--format", "json", expect=expect, **variables)
        document = json.loads(ran.out)
        assert document["schema_version"] == 1
        return document

    def error_document(self, *arguments: str, expect: int, **variables: str) -> dict[str, Any]:
        """The one object that a failing command prints; people read the same on stderr."""
        ran = self.run(*arguments, "--format", "json", expect=expect, **variables)
        document = json.loads(ran.out)
        problem = document["error"]
        assert f"error {problem['code']}" in ran.err
        assert problem["message"] in ran.err
        assert problem["fix"] in ran.err
        return document

    def error(self, *arguments: str, expect: int, **variables: str) -> dict[str, Any]:
        """The error in it: code, message, where, fix, details."""
        return self.error_document(*arguments, expect=expect, **variables)["error"]

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Start a command; the caller waits for it or ends it."""
        # As from a terminal, also where these tests run under `nohup`.
        return subprocess.Popen(
            ["env", "--default-signal=HUP", TRITONGEN, *arguments],
            cwd=self.folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, path: str, text: str | bytes) -> Path:
        """A file of the project, its folders included."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def add(self, path: str, message: onnx.ModelProto | bytes) -> Path:
        """A model file below models/."""
        return save(message, self.models / path)

    def config(self, name: str) -> Path:
        """A model's configuration in the repository."""
        return self.repository / name / "config.pbtxt"

    def state(self) -> dict[str, Any]:
        """What is remembered of its server."""
        return json.loads((self.folder / ".tritongen/server.json").read_text())

    def lock(self) -> dict[str, Any]:
        """The repository's lock as one document."""
        return json.loads(whole_lock(self.repository))


def whole_lock(repository: Path) -> str:
    """A lock as older tools wrote it, in one file, which may be put in the place of the new one."""
    lock = read_lock(repository)
    assert lock is not None
    return lock_text(replace(lock, shares={}))


def tree(folder: Path) -> Mapping[str, bytes]:
    """Content of every file below a folder but the tool's log; links as where they lead."""
    return {
        path.relative_to(folder).as_posix(): (
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
        if path.name != "tritongen.log" and (path.is_symlink() or path.is_file())
    }


def children(pid: int) -> list[int]:
    """Direct children of a process; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(item) for item in text.split()]


def trial_of(process: "subprocess.Popen[str]") -> int:
    """Wait until a build runs a trial; the process id of that child."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = children(process.pid)
        if found:
            return found[0]
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise AssertionError("no trial began")


def dense(seed: int = 0) -> onnx.ModelProto:
    """y = relu(x · w), rows independent."""
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "y")]
    sizes = [("x", FLOAT, ["batch", 4])], [("y", FLOAT, ["batch", 3])]
    return model(nodes, *sizes, [weights("w", 4, 3, seed=seed)])


def fixed() -> onnx.ModelProto:
    """y = relu(x), one row and no more."""
    sizes = [("x", FLOAT, [1, 4])], [("y", FLOAT, [1, 4])]
    return model([node("Relu", "x", "y")], *sizes)


def labels() -> onnx.ModelProto:
    """The largest column of each row: an output that is the batch axis alone."""
    sizes = [("x", FLOAT, ["n", 4])], [("label", INT64, ["n"])]
    return model([node("ArgMax", "x", "label", axis=1, keepdims=0)], *sizes)


def scalar() -> onnx.ModelProto:
    """y = x + 1 without any axis."""
    sizes = [("x", FLOAT, [])], [("y", FLOAT, [])]
    return model([node("Add", "x one", "y")], *sizes, [constant("one", 1.0, "float32")])


def sequence() -> onnx.ModelProto:
    """An output that is no tensor, which Triton refuses."""
    message = model([node("SequenceConstruct", "x", "s")], [("x", FLOAT, ["n", 4])], [])
    output = message.graph.output.add(name="s")
    element = output.type.sequence_type.elem_type.tensor_type
    element.elem_type = FLOAT
    return message


INTENT = """\
target: {cpus: 4}
models:
  dense:
    rate: {average: 50, peak: 200}
    latency: 50ms
"""


def furnish(project: Project) -> Project:
    """Models of every kind that the main job meets, all of which are served."""
    project.add("dense/model.onnx", dense())
    project.add("fixed.onnx", fixed())
    project.add("labels/model.onnx", labels())
    project.add("scalar/model.onnx", scalar())
    project.add("twice/1/model.onnx", dense(seed=1))
    project.add("twice/2/model.onnx", dense(seed=2))
    project.add("outside/model.onnx", with_weights(external("w", [3], "w.bin", length=12)))
    project.write("models/outside/w.bin", b"\0\0\x80?" * 3)
    project.write("models/tritongen.yaml", INTENT)
    return project


SERVED = ("dense", "fixed", "labels", "outside", "scalar", "twice")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = furnish(Project(tmp_path_factory.mktemp("template")))
    project.run("build", "models")
    return project.folder


def _copy(template: Path, folder: Path) -> Project:
    shutil.copytree(template, folder, symlinks=True)
    return Project(folder)


@pytest.fixture
def built(tmp_path: Path, _template: Path) -> Project:
    """A project that is built, for this test alone."""
    return _copy(_template, tmp_path / "project")


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, _template: Path, embedded_runtime: EmbeddedRuntime
) -> Iterator[Project]:
    """A project whose server is up, for a module."""
    project = _copy(_template, tmp_path_factory.mktemp("served") / "project")
    try:
        project.run("up", *FREE_PORTS)
        yield project
    finally:
        project.run("down")
