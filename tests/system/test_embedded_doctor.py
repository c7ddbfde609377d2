"""`doctor` without Docker: the machine, the repository, the embedded Triton."""

import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

import jsonschema

from support.cli import FREE_PORTS, Project
from support.cli_schemas import SCHEMAS
from support.serving_models import config_text, identity
from support.small_disk import full_disk
from support.triton import EmbeddedRuntime, write_model

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
NO_INDEX = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "TRITONGEN_TRITON_WHEEL": "",
}
Checks = Mapping[str, Mapping[str, Any]]


def add(project: Project, name: str = "m", backend: str = "onnxruntime") -> None:
    """A hand-written model."""
    config = config_text().replace("onnxruntime", backend)
    write_model(project.repository, name, config, {"1/model.onnx": identity()})


def doctor(project: Project, *words: str, expect: int = 0, **variables: str) -> Checks:
    """Its checks by name; of several with one name the worst."""
    words = ("doctor", *FREE_PORTS, *words)
    document = project.json(*words, expect=expect, **{**NOWHERE, **variables})
    jsonschema.validate(document, SCHEMAS["doctor"])
    for item in document["checks"]:
        assert item["ok"] == (item["severity"] == "info")
        assert bool(item["fix"]) == bool(item["code"]) == (not item["ok"])
    order = ("info", "warning", "error")
    return {
        item["name"]: item
        for item in sorted(document["checks"], key=lambda item: order.index(item["severity"]))
    }


def test_a_machine_without_docker_and_without_a_repository(
    project: Project, embedded_runtime: EmbeddedRuntime
):
    checks = doctor(project)
    assert checks["repository"]["ok"]
    assert "is in" in checks["embedded.triton"]["message"]
    assert "onnxruntime " in checks["embedded.backend.onnxruntime"]["message"]
    assert "affinity" in checks["cpus"]["message"]
    # Nobody asked for Docker, and what is here serves without it.
    assert (checks["docker.engine"]["code"], checks["docker.engine"]["severity"]) == (
        "TG840",
        "warning",
    )
    assert checks["runtime"]["message"].startswith("embedded: ")
    assert not list(project.folder.iterdir()), "nothing is written"


def test_docker_is_asked_for_and_absent(project: Project):
    checks = doctor(project, "--runtime", "docker", expect=3)
    assert checks["docker.engine"]["severity"] == "error"
    ran = project.run("doctor", "--runtime", "docker", expect=3, **NOWHERE)
    assert "error TG840 docker.engine" in ran.out
    assert "systemctl start docker" in ran.out


def test_a_good_repository(project: Project, embedded_runtime: EmbeddedRuntime):
    add(project)
    checks = doctor(project)
    assert checks["repository.check"]["ok"]
    assert {name for name in checks if name.startswith("embedded.backend")} == {
        "embedded.backend.onnxruntime"
    }


def test_a_broken_repository_is_the_only_fault(project: Project, embedded_runtime: EmbeddedRuntime):
    add(project)
    project.config("m").write_text("max_batch_size: many")
    fault = doctor(project, expect=1)["repository.check"]
    assert fault["severity"] == "error"
    assert fault["message"].startswith("m: ")
    assert project.error("doctor", "absent", expect=2)["code"] == "TG708"


def test_weights_that_are_missing(project: Project, embedded_runtime: EmbeddedRuntime):
    write_model(project.models, "m", None, {"1/model.onnx": identity()})
    project.run("build", "models", "--no-trial", "--weights", "none", "--cpus", "1024")
    checks = doctor(project, expect=1)
    assert checks["repository.files"]["code"] == "TG705"
    # The plan is known all the same: it is for a larger machine than any.
    assert checks["cpus"]["code"] == "TG316"
    assert "planned for 1024" in checks["cpus"]["message"]


def test_a_repository_that_only_a_container_serves(project: Project):
    add(project, backend="tensorrt")
    checks = doctor(project, expect=3)
    assert checks["embedded.backend.tensorrt"]["code"] == "TG806"
    assert checks["embedded.backend.tensorrt"]["severity"] == "warning"
    assert checks["docker.engine"]["severity"] == "error"
    assert checks["runtime"]["message"].startswith("docker: the embedded Triton cannot serve this")


def test_ports(project: Project, embedded_runtime: EmbeddedRuntime):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        taken = doctor(project, "--grpc-port", port, expect=3)["ports"]
    assert taken["code"] == "TG807"
    assert port in taken["message"]


def test_the_project_s_own_server_holds_its_ports(
    project: Project, embedded_runtime: EmbeddedRuntime
):
    add(project)
    ends = project.json("up", *FREE_PORTS)["endpoints"]
    try:
        port = ends["http"].rpartition(":")[2]
        checks = doctor(project, "--http-port", port)
        assert checks["ports"]["message"] == "held by this project's own server"
        assert ends["http"] in checks["server"]["message"]
        os.kill(int(project.state()["pid"]), signal.SIGKILL)
    finally:
        project.run("down")
    checks = doctor(project, "--http-port", port)
    assert "free" in checks["ports"]["message"]
    assert "none" in checks["server"]["message"]
    project.write(".tritongen/server.json", "{")
    assert doctor(project, expect=3)["server"]["code"] == "TG817"


def test_triton_that_cannot_be_had(project: Project, tmp_path):
    empty = {"XDG_CACHE_HOME": str(tmp_path / "cache"), **NO_INDEX}
    fault = doctor(project, expect=3, **empty)["embedded.triton"]
    assert fault["code"] == "TG801"
    assert "--triton-wheel" in fault["fix"]
    wheel = project.write("some.whl", b"something else")
    words = ("--triton-wheel", str(wheel))
    assert doctor(project, *words, expect=3, **empty)["embedded.triton"]["code"] == "TG802"
    words = ("--triton-wheel", "absent.whl")
    assert doctor(project, *words, expect=3, **empty)["embedded.triton"]["code"] == "TG003"
    assert not (tmp_path / "cache").exists(), "nothing is fetched, nothing is made"


def test_triton_that_would_be_downloaded(project: Project, tmp_path):
    found = doctor(project, XDG_CACHE_HOME=str(tmp_path / "cache"), TRITONGEN_TRITON_WHEEL="")
    assert "will be downloaded" in found["embedded.triton"]["message"]


def test_disks(project: Project, tmp_path, embedded_runtime: EmbeddedRuntime):
    cache = tmp_path / "cache"
    with full_disk(cache, left=8192):
        fault = doctor(project, expect=3, XDG_CACHE_HOME=str(cache))["disk.cache"]
    assert fault["code"] == "TG005"
    project.folder.chmod(0o555)
    try:
        fault = doctor(project.powerless(), expect=3)["disk.project"]
    finally:
        project.folder.chmod(0o755)
    assert fault["code"] == "TG004"
