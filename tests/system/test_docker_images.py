"""Images that are pulled, that are here, and that are not what they should be."""

import io
import secrets
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from support.docker import Project, engine
from support.registry import Registry, registry_of
from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker.docker_engine import DockerEngine
from tritongen.serving.docker.images import describe, pull


def small_image(name: str, size: int = 1 << 16) -> None:
    """An image of one file that says it is Triton, and is not."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        data = secrets.token_bytes(size)
        member = tarfile.TarInfo("filler")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    changes = ("--change", "ENV TRITON_SERVER_VERSION=2.51.0")
    command = ["docker", "import", *changes, "-", name]
    subprocess.run(command, input=tar.getvalue(), check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    name = f"tritongen-test-small:{secrets.token_hex(4)}"
    small_image(name, 4 << 20)
    try:
        with registry_of(name) as made:
            engine("rmi", name)
            yield made
    finally:
        subprocess.run(["docker", "rmi", "--force", name], check=False, capture_output=True)


@pytest.fixture
def name(registry: Registry) -> Iterator[str]:
    """An image of the registry, not here yet; gone when the test ends."""
    registry.broken, registry.pulls = False, 0
    name = f"{registry.address}/small/triton:{secrets.token_hex(4)}"
    yield name
    subprocess.run(["docker", "rmi", "--force", name], check=False, capture_output=True)


def test_a_pull_tells_of_its_progress(registry: Registry, name: str):
    docker = DockerEngine()
    assert describe(docker, name) is None
    told: list[tuple[str, int, int]] = []
    pull(docker.client(), name, lambda *step: told.append(step))
    found = describe(docker, name)
    assert found is not None
    assert found.server == "2.51.0"
    assert all(what == f"pulling {name}" and 0 <= done <= total for what, done, total in told)
    assert told, "there is something to tell of some megabytes"


def test_an_image_that_is_not_here_is_pulled_once(
    docker_project: Project, registry: Registry, name: str
):
    words = (*docker_project.UP, "--image", name)
    out, _ = docker_project.run("doctor", "--image", name, "--http-port", "0", expect=None)
    assert "it is not here yet and will be pulled" in " ".join(out.split())
    assert docker_project.error(*words)["code"] == "TG849", "it holds one file, and no server"
    assert registry.pulls > 0
    before = registry.pulls
    assert docker_project.error(*words)["code"] == "TG849"
    assert registry.pulls == before, "what is here is not asked for again"


def test_a_local_image_is_never_pulled_over(docker_project: Project, registry: Registry, name: str):
    """The registry has another image under the name of the one that was made here."""
    engine("tag", docker_project.image, name)
    mine = engine("image", "inspect", "--format", "{{.Id}}", name)
    project = Project(docker_project.folder, name)
    assert project.up()["image"] == name
    assert engine("image", "inspect", "--format", "{{.Id}}", name) == mine
    assert registry.pulls == 0
    project.down()


def test_a_pull_that_breaks_off_leaves_no_image(registry: Registry, name: str):
    registry.broken = True
    docker = DockerEngine()
    with pytest.raises(EnvironmentProblem) as caught:
        pull(docker.client(), name, None)
    assert caught.value.code == "TG842"
    assert describe(docker, name) is None
