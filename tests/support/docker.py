"""A real Docker Engine and the slim image for tests.

``slim_image`` is the name of the slim CPU image, built once and found again by its content.
A spec with ``image=slim_image`` is served with it; `left_over` says what a server has
left behind. `Project` is a folder in which the tool is run as a user runs it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.serving_models import config_text, identity
from support.triton import READY_SECONDS, server_spec, write_model
from tritongen.serving.docker.docker_runtime import DockerRuntime, find_containers
from tritongen.serving.docker.docker_server import DockerServer
from tritongen.serving.orphans import FoundServer
from tritongen.serving.protocol import ServerSpec
from tritongen.triton.http_client import HttpClient
from tritongen.triton.server import ServerState
from tritongen.triton.server_state import StateStore, project_label

ROOT = Path(__file__).resolve().parents[2]


def build_slim_image() -> str:
    """The slim image's name; built when it is not here, which takes about a minute."""
    script = ROOT / "scripts/slim-image.sh"
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def slim_image() -> str:
    """The slim image's name."""
    return build_slim_image()


TOOL_IMAGE_SECONDS = 900


@pytest.fixture(scope="session")
def tool_image() -> str:
    """The name of the tool's own image; built when it is not here."""
    script = ROOT / "scripts/tool-image.sh"
    done = subprocess.run(
        [script], stdout=subprocess.PIPE, text=True, check=True, timeout=TOOL_IMAGE_SECONDS
    )
    return done.stdout.strip()


def engine(*arguments: str) -> str:
    """What a ``docker`` command prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def add_good(folder: Path) -> Path:
    """A repository with one model that is served."""
    repository = folder / "model_repository"
    write_model(repository, "good", config_text(), {"1/model.onnx": identity()})
    return repository


@contextmanager
def start_container(
    image: str, repository: Path, project: Path, **options
) -> Iterator[tuple[DockerServer, HttpClient]]:
    """A real Triton in a container, ready or decided, with its client; gone when the block ends."""
    spec: ServerSpec = server_spec(repository, project, image=image, **options)
    server = DockerRuntime().start(spec)
    try:
        server.wait_ready(READY_SECONDS)
        with HttpClient(server.endpoints.http, headers=server.state.headers()) as client:
            yield server, client
    finally:
        server.stop(1)
    assert left_over(server.state.server) == []


def left_over(server: str) -> list[str]:
    """Containers of a server."""
    return [item.container for item in find_containers() if item.server == server]


class Project:
    """A project folder with a repository, and the tool as a user runs it there.

    Args:
        folder: with ``model_repository`` in it.
        image: of its containers.
        environment: further variables of the tool.
    """

    UP = ("up", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")

    def __init__(self, folder: Path, image: str, environment: dict[str, str] | None = None):
        self.folder = folder
        self.image = image
        self.environment = {**os.environ, **(environment or {})}

    def spawn(self, *arguments: str, **options) -> subprocess.Popen[str]:
        """One command of the tool, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "tritongen", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments: str, expect: int | None = 0, **options) -> tuple[str, str]:
        """One command of the tool; its outputs, after a look at its exit code."""
        with self.spawn(*arguments, **options) as process:
            out, err = process.communicate(timeout=300)
        if expect is not None:
            assert process.returncode == expect, (arguments, process.returncode, out, err)
        return out, err

    def up(self, *arguments: str, expect: int = 0, **options) -> dict:
        """`up` on free ports; its JSON."""
        words = (*self.UP, "--image", self.image, "--format", "json", *arguments)
        out, _ = self.run(*words, expect=expect, **options)
        return json.loads(out)

    def down(self) -> None:
        """`down`, for a server that nobody needs any more."""
        self.run("down", "--grace", "1")

    def error(self, *arguments: str, expect: int = 3, **options) -> dict:
        """A command that fails; its one error."""
        out, err = self.run(*arguments, "--format", "json", expect=expect, **options)
        assert "Traceback" not in err
        return json.loads(out)["error"]

    def state(self) -> ServerState | None:
        """What the state file says."""
        return StateStore(self.folder).read()

    def containers(self) -> list[FoundServer]:
        """Every container of this project, running or not."""
        label = project_label(self.folder)
        return [item for item in find_containers() if item.label == label]

    def processes(self) -> list[str]:
        """Command lines of the tool's processes that work in this project, and of guards."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                here = (entry / "cwd").readlink() == self.folder.resolve()
            except OSError:
                continue
            if here and int(entry.name) != os.getpid():
                found.append(" ".join(words))
        return found

    def settle(self, seconds: float = 90.0) -> None:
        """Waits until no process of the tool is at work here, guards included."""
        deadline = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < deadline, self.processes()
            time.sleep(0.05)


@pytest.fixture
def docker_project(tmp_path: Path, slim_image: str) -> Iterator[Project]:
    """A project with one model; nothing of it is left when the test ends."""
    add_good(tmp_path)
    made = Project(tmp_path, slim_image)
    yield made
    made.down()
    made.settle()
    assert made.containers() == []
