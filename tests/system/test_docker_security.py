"""What protects a container, and that the printed command protects it in the same way."""

import json
import subprocess
import time

import pytest

from support.docker import Project, add_good, engine
from support.triton import READY_SECONDS
from tritongen.errors import EnvironmentProblem
from tritongen.triton.http_client import HttpClient
from tritongen.triton.server import key_headers
from tritongen.triton.server_state import project_label


@pytest.fixture
def project(docker_project) -> Project:
    return docker_project


def test_the_printed_line_starts_the_same_container(project):
    """`--dry-run` starts nothing; a shell that runs its line gets a server that is ready."""
    project.up()
    mine = facts_of(project.state().container)
    project.run("down", "--grace", "1")
    out, err = project.run(*project.UP, "--image", project.image, "--dry-run")
    assert err == f"image {project.image}: named with --image\n"
    assert out.startswith("docker run ")
    assert out.count("\n") == 1
    assert project.containers() == []
    assert project.state() is None
    shell = subprocess.run(
        ["bash", "-c", out], capture_output=True, text=True, check=True, cwd=project.folder
    )
    container = shell.stdout.strip()
    assert facts_of(container) == mine
    address = engine("port", container, "8000").splitlines()[0]
    with HttpClient(address) as client:
        deadline = time.monotonic() + READY_SECONDS
        while not (client.live() and client.model_ready("good")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    # It has the tool's labels, by which `down` finds it.
    assert len(project.containers()) == 1


def facts_of(container: str) -> dict:
    """What protects a container, as the engine knows it."""
    (whole,) = json.loads(engine("inspect", container))
    host, config = whole["HostConfig"], whole["Config"]
    keys = (
        "CapDrop", "NanoCpus", "Memory", "MemorySwap", "Privileged", "ReadonlyRootfs",
        "SecurityOpt", "ShmSize", "Tmpfs", "Ulimits", "LogConfig", "CpusetCpus",
    )  # fmt: skip
    mounts = [(item["Source"], item["Destination"], item["RW"]) for item in whole["Mounts"]]
    facts = {key: host[key] for key in keys} | {"mounts": mounts, "user": config["User"]}
    return facts | {
        "environment": sorted(config["Env"]),
        "health": config["Healthcheck"],
        "command": [word for word in config["Cmd"] if ":tritongen-" not in word],
        "entrypoint": config["Entrypoint"],
    }


def test_security_of_a_container(project):
    up = project.up()
    facts = facts_of(project.state().container)
    assert facts["CapDrop"] == ["ALL"]
    assert facts["SecurityOpt"] == ["no-new-privileges"]
    assert facts["ReadonlyRootfs"]
    assert facts["user"] == "1000:1000"
    assert not facts["Privileged"]
    assert [writable for _, _, writable in facts["mounts"]] == [False]
    published = engine("port", project.state().container).split()
    assert all(word.startswith("127.0.0.1:") for word in published if ":" in word)
    # The keys open nothing for those who read a printed line or a label; only the state has one.
    words = json.loads(engine("inspect", project.state().container))[0]["Config"]["Cmd"]
    keys = {word.partition(":")[2] for word in words if ":tritongen-" in word}
    (known, nobody) = (pair.rpartition("=")[2] for pair in sorted(keys, reverse=True))
    state = project.folder / ".tritongen/server.json"
    assert project.state().key == known
    assert state.stat().st_mode & 0o777 == 0o600
    assert nobody not in state.read_text()
    for key in (known, nobody):
        assert key not in json.dumps(up)
        assert key not in (project.folder / ".tritongen/server.log").read_text()
    for key, reason in (("", "restricted"), (known, "explicit")):
        client = HttpClient(up["endpoints"]["http"], headers=key_headers(key))
        with client, pytest.raises(EnvironmentProblem, match=reason) as caught:
            client.load("good")
        assert caught.value.code == "TG815"


def test_a_copied_state_ends_no_container_of_another_project(project, tmp_path_factory):
    """Neither as it is, nor made out to be this project's own."""
    endpoint = project.up()["endpoints"]["http"]
    state = json.loads((project.folder / ".tritongen/server.json").read_text())
    other = Project(tmp_path_factory.mktemp("other"), project.image)
    add_good(other.folder)
    place = other.folder / ".tritongen/server.json"
    place.parent.mkdir(mode=0o700)
    for copy in (state, state | {"label": project_label(other.folder)}):
        place.write_text(json.dumps(copy))
        place.chmod(0o600)
        out, _ = other.run("down", "--grace", "1", "--format", "json")
        assert json.loads(out)["stopped"] == []
        with HttpClient(endpoint) as client:
            assert client.model_ready("good")


def test_no_variable_of_the_caller_reaches_the_container(project):
    project.environment["MY_TOKEN"] = "secret-4711"  # noqa: S105  (what must not be found)
    project.environment["HTTPS_PROXY"] = "http://user:secret-4711@127.0.0.1:9"
    up = project.up()
    everything = engine("inspect", project.state().container) + json.dumps(up)
    assert "secret-4711" not in everything
    for name in ("server.json", "server.log"):
        assert "secret-4711" not in (project.folder / ".tritongen" / name).read_text()
