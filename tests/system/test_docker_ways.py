"""The way to an engine: its socket and the docker package tell and make the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.docker import Project, engine
from support.engine_proxy import ENGINE
from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker.docker_engine import DockerEngine

LIBRARY = "TRITONGEN_DOCKER_LIBRARY"
# Makes and starts a container, and tells whether that has loaded the docker package.
_START = """
import json, sys
from pathlib import Path
from tritongen.serving.docker.container_settings import Mount
from tritongen.serving.docker.container_settings import ContainerSettings
from tritongen.serving.docker.docker_engine import DockerEngine
from tritongen.triton.server import ApiKeys
from tritongen.serving.protocol import Ports, ServerSpec

folder, image, server = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
spec = ServerSpec(
    folder, ("good",), folder / "log", folder, "abcdef012345", cores=1, cpuset=(0,),
    memory_bytes=1 << 30, environment=(("WORDS", "a b=c ü"), ("EMPTY", "")), ports=Ports(0, 0, 0),
)
engine = DockerEngine()
settings = ContainerSettings(
    spec, image, server=server, mounts=(Mount(str(folder), "/models"),), keys=ApiKeys.new(),
    engine_cpus=engine.facts().cpus,
)
container = engine.start(settings.body(), settings.name)
print(json.dumps([container, "docker" in sys.modules, "requests" in sys.modules]))
"""


def started(project: Project, server: str, environment: dict[str, str]) -> tuple[dict, bool]:
    """A container's settings as the engine has them, and whether the docker package made it."""
    words = [sys.executable, "-c", _START, project.folder, project.image, server]
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    container, docker, requests = json.loads(done.stdout)
    assert docker == requests
    try:
        (whole,) = json.loads(engine("inspect", container))
    finally:
        engine("rm", "--force", container)
    whole["Config"].pop("Hostname")
    kept = {key: whole[key] for key in ("Config", "HostConfig", "Mounts", "Path", "Args")}
    labels = kept["Config"]["Labels"]
    assert labels.pop("tritongen.server") == server
    assert labels["tritongen.label"] == "abcdef012345"
    # The key of the closed APIs is another one each time.
    for place, words in ((kept["Config"], "Cmd"), (kept, "Args")):
        place[words] = [word.partition(":tritongen-")[0] for word in place[words]]
    return kept, docker


def test_both_ways_make_the_same_container(docker_project: Project):
    quick, loaded = started(docker_project, "0" * 16, {})
    assert not loaded
    whole, loaded = started(docker_project, "1" * 16, {LIBRARY: "1"})
    assert loaded
    assert quick == whole
    assert quick["HostConfig"]["NanoCpus"] == 10**9


def test_both_ways_know_the_same_of_the_engine(slim_image, monkeypatch: pytest.MonkeyPatch):
    quick = DockerEngine()
    facts, image = quick.facts(), quick.image(slim_image)
    assert quick.holds_none(["tritongen.label=abcdef012345"])
    assert quick.image("tritongen-absent:1") is None
    monkeypatch.setenv(LIBRARY, "1")
    whole = DockerEngine()
    assert whole.facts() == facts
    assert whole.image(slim_image) == image
    assert image is not None
    assert not whole.holds_none(["tritongen.label=abcdef012345"]), "not looked for in this way"


def test_both_ways_read_the_same_log(slim_image, monkeypatch: pytest.MonkeyPatch):
    words = "echo out; echo err >&2; seq 20000; kill -9 $$"
    container = engine("create", "--entrypoint", "sh", slim_image, "-c", words)
    try:
        quick = DockerEngine()
        assert quick.status(container) == "created"
        engine("start", container)
        engine("wait", container)
        log = b"".join(quick.log(container))
        assert log.endswith(b"\n20000\n")
        assert quick.status(container) == "exited"
        monkeypatch.setenv(LIBRARY, "1")
        assert log == b"".join(DockerEngine().log(container))
    finally:
        engine("rm", "--force", container)
    assert quick.status(container) == ""
    with pytest.raises(EnvironmentProblem):
        b"".join(quick.log(container))


def test_a_server_that_is_ready_never_needed_the_package(docker_project: Project):
    """Up, in an interpreter that tells afterwards what it has loaded; its log is written, too."""
    words = [*docker_project.UP, "--image", docker_project.image]
    code = (
        "import sys; from tritongen.cli import main; "
        f"code = main({words!r}); sys.exit(code or 40 + ('docker' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=docker_project.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 40, done.stderr
    log = docker_project.folder / ".tritongen/server.log"
    assert "successfully loaded 'good'" in log.read_text()


@pytest.mark.parametrize("way", ["library", "context"])
def test_the_package_alone_serves_as_well(docker_project: Project, tmp_path: Path, way: str):
    if way == "library":
        docker_project.environment[LIBRARY] = "1"
    else:
        folder = tmp_path / "docker"
        made = {**os.environ, "DOCKER_CONFIG": str(folder)}
        create = ["docker", "context", "create", "mine", "--docker", f"host=unix://{ENGINE}"]
        subprocess.run(create, check=True, capture_output=True, env=made)
        (folder / "config.json").write_text('{"currentContext": "mine"}')
        docker_project.environment["DOCKER_CONFIG"] = str(folder)
    assert docker_project.up()["runtime"] == "docker"
    docker_project.run("status")
