"""A real Docker Engine and the slim image for tests.

``slim_image`` is the name of the slim CPU image, built once and found again by its content.
``DockerRuntime(DockerOptions(image=slim_image))`` serves with it; `left_over` says what a server
has left behind.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.triton import READY_SECONDS, server_spec
from tritongen.serving.client import HttpClient
from tritongen.serving.docker.orphans import find_containers
from tritongen.serving.docker.runtime import DockerRuntime
from tritongen.serving.docker.server import DockerServer
from tritongen.serving.docker.settings import DockerOptions
from tritongen.serving.protocol import ServerSpec

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


@pytest.fixture(scope="session")
def docker_runtime(slim_image: str) -> DockerRuntime:
    """A runtime that serves with the slim image."""
    return DockerRuntime(DockerOptions(image=slim_image))


@contextmanager
def start_container(
    runtime: DockerRuntime, repository: Path, project: Path, **options
) -> Iterator[tuple[DockerServer, HttpClient]]:
    """A real Triton in a container, ready or decided, with its client; gone when the block ends."""
    spec: ServerSpec = server_spec(repository, project, **options)
    server = runtime.start(spec)
    try:
        server.wait_ready(READY_SECONDS)
        with HttpClient(server.endpoints.http) as client:
            yield server, client
    finally:
        server.stop()
    assert left_over(server.state.server) == []


def left_over(server: str) -> list[str]:
    """Containers of a server."""
    return [item.container for item in find_containers() if item.server == server]
