"""The quick way to a container makes what the SDK makes, and gives way to it in any doubt."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.docker import Project, engine
from support.engine_proxy import ENGINE
from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker.access import EngineAccess

# Makes and starts a container, and tells whether that has loaded the SDK.
_START = """
import json, sys
from pathlib import Path
from tritongen.serving.docker.access import EngineAccess
from tritongen.serving.docker.container_binds import Mount
from tritongen.serving.docker.container_settings import DockerOptions, container_settings
from tritongen.triton.api_keys import ApiKeys
from tritongen.serving.protocol import Ports, ServerSpec

folder, image, server = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
spec = ServerSpec(
    folder, ("good",), folder / "log", folder, "abcdef012345", cores=1, cpuset=(0,),
    memory_bytes=1 << 30, environment=(("WORDS", "a b=c ü"), ("EMPTY", "")),
)
engine = EngineAccess()
settings = container_settings(
    spec, DockerOptions(), image, server=server, ports=Ports(0, 0, 0),
    mounts=(Mount(str(folder), "/models"),), engine_cpus=engine.facts().cpus, keys=ApiKeys.new(),
)
container = engine.create(settings)
engine.start(container, image)
print(json.dumps([container, "docker" in sys.modules, "requests" in sys.modules]))
"""


@pytest.fixture
def project(docker_project) -> Project:
    return docker_project


@pytest.fixture
def by_context(tmp_path: Path) -> dict[str, str]:
    """Settings of the docker command that name the same engine by a context, as rootless ones."""
    folder = tmp_path / "docker"
    made = {**os.environ, "DOCKER_CONFIG": str(folder)}
    create = ["docker", "context", "create", "mine", "--docker", f"host=unix://{ENGINE}"]
    subprocess.run(create, check=True, capture_output=True, env=made)
    (folder / "config.json").write_text('{"currentContext": "mine"}')
    return {"DOCKER_CONFIG": str(folder)}


def started(project: Project, server: str, environment: dict[str, str]) -> tuple[dict, bool]:
    """A container's settings as the engine has them, and whether the SDK made it."""
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


def test_both_ways_make_the_same_container(project, by_context):
    quick, loaded = started(project, "0" * 16, {})
    assert not loaded
    careful, loaded = started(project, "1" * 16, by_context)
    assert loaded
    assert quick == careful
    assert quick["HostConfig"]["NanoCpus"] == 10**9


def test_both_ways_know_the_same_of_the_engine(slim_image, by_context, monkeypatch):
    quick = EngineAccess()
    facts = quick.facts()
    image = quick.image(slim_image)
    monkeypatch.setenv("DOCKER_CONFIG", by_context["DOCKER_CONFIG"])
    careful = EngineAccess()
    assert careful.facts() == facts
    assert careful.image(slim_image) == image
    assert image is not None
    assert quick.image("tritongen-absent:1") is None
    assert quick.holds_none("abcdef012345")
    assert not careful.holds_none("abcdef012345"), "not looked for in this way"


def test_both_ways_read_the_same_log(slim_image, by_context, monkeypatch):
    words = "echo out; echo err >&2; seq 20000; kill -9 $$"
    container = engine("create", "--entrypoint", "sh", slim_image, "-c", words)
    try:
        quick = EngineAccess()
        quick.facts()
        assert quick.status(container) == "created"
        engine("start", container)
        engine("wait", container)
        monkeypatch.setenv("DOCKER_CONFIG", by_context["DOCKER_CONFIG"])
        log = b"".join(quick.log(container))
        assert log.endswith(b"\n20000\n")
        assert log == b"".join(EngineAccess().log(container))
        assert quick.status(container) == "exited"
    finally:
        engine("rm", "--force", container)
    assert quick.status(container) == ""
    with pytest.raises(EnvironmentProblem) as caught:
        b"".join(quick.log(container))
    assert caught.value.code == "TG845"


def test_a_server_that_is_ready_never_needed_the_sdk(project):
    """Up, in an interpreter that tells afterwards what it has loaded; its log is written, too."""
    words = [*project.UP, "--image", project.image]
    code = (
        "import sys; from tritongen.cli import main; "
        f"code = main({words!r}); sys.exit(code or 40 + ('docker' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=project.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 40, done.stderr
    assert "successfully loaded 'good'" in (project.folder / ".tritongen/server.log").read_text()


def test_a_named_context_serves_as_well(project, by_context):
    project.environment.update(by_context)
    assert project.up()["runtime"] == "docker"
    project.run("status")
