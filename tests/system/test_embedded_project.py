"""Faults of a project on the embedded Triton, as the command line meets and tells them."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest

from support.cli import FREE_PORTS, Project, tree
from support.cli_schemas import SCHEMAS
from support.memory_limit import memory_limit
from support.serving_models import config_text, identity
from support.small_disk import full_disk
from support.triton import EmbeddedRuntime, write_model
from tritongen.serving.orphans import find_servers

UP = ("up", *FREE_PORTS, "--runtime", "embedded")


@pytest.fixture
def built(project: Project) -> Project:
    """A project with a repository of one hand-written model, which starts in a second."""
    write_model(project.repository, "dense", config_text(), {"1/model.onnx": identity()})
    return project


def servers_of(project: Project) -> list[str]:
    folder = project.folder.resolve()
    return [found.server for found in find_servers() if found.project == folder]


def nothing_runs(project: Project) -> None:
    deadline = time.monotonic() + 60
    while servers_of(project):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (project.folder / ".tritongen/server.json").exists()


def test_port_taken(built: Project, embedded_runtime: EmbeddedRuntime):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        problem = built.error(*UP, "--http-port", port, expect=3)
    assert problem["code"] == "TG807"
    assert port in problem["message"]
    nothing_runs(built)


def test_a_repository_that_may_not_be_read(built: Project, embedded_runtime: EmbeddedRuntime):
    folder = built.repository / "dense"
    folder.chmod(0)
    try:
        problem = built.powerless().error(*UP, expect=2)
    finally:
        folder.chmod(0o755)
    assert problem["code"] == "TG003"
    assert "dense" in problem["where"]
    nothing_runs(built)


@pytest.mark.parametrize(
    "left",
    [0, 4096, 8192, 12288],
    ids=["nothing is left", "the tool's log fills it", "a lock fills it", "the server's log does"],
)
def test_disk_full_in_the_state_folder(
    built: Project, embedded_runtime: EmbeddedRuntime, left: int
):
    before = tree(built.repository)
    state = built.folder / ".tritongen"
    with full_disk(state, left=left):
        problem = built.error(*UP, expect=3)
        assert list(state.glob("*.tmp")) == []
        assert not (state / "server.json").exists()
    assert problem["code"] == "TG005"
    assert ".tritongen" in problem["where"]
    nothing_runs(built)
    assert tree(built.repository) == before


def test_stale_state_after_a_reboot(built: Project, embedded_runtime: EmbeddedRuntime):
    """The file names a process number that means another process since the last boot."""
    built.run(*UP)
    path = built.folder / ".tritongen/server.json"
    text = path.read_text()
    built.run("down", "--grace", "1")
    stale = json.loads(text) | {"boot_id": "0" * 36, "pid": os.getpid()}
    path.write_text(json.dumps(stale))
    assert built.error("status", expect=3)["code"] == "TG809"
    assert built.json("down")["stopped"] == []
    path.write_text(json.dumps(stale))
    try:
        assert built.json(*UP)["endpoints"]
    finally:
        built.run("down", "--grace", "1")
    nothing_runs(built)


def test_a_damaged_state_file(built: Project, embedded_runtime: EmbeddedRuntime):
    built.run(*UP)
    (server,) = servers_of(built)
    path = built.write(".tritongen/server.json", '{"schema_version": 1, "pid"')
    for words in (("status",), UP):
        problem = built.error(*words, expect=3)
        assert problem["code"] == "TG817"
        assert str(path) in problem["where"]
        assert "tritongen down" in problem["fix"]
    assert built.json("down", "--grace", "1")["stopped"] == [server]
    nothing_runs(built)


def test_a_folder_in_the_place_of_the_state_file(built: Project, embedded_runtime: EmbeddedRuntime):
    """It cannot be removed like a file, and is told; the server that it hides is ended first."""
    built.run(*UP)
    path = built.folder / ".tritongen/server.json"
    path.unlink()
    path.mkdir()
    assert built.error(*UP, expect=3)["code"] == "TG817"
    problem = built.error("down", "--grace", "1", expect=3)
    assert problem["code"] == "TG817"
    assert f"Remove the folder {path}" in problem["fix"]
    assert servers_of(built) == []
    path.rmdir()
    nothing_runs(built)


def test_the_log_is_followed(built: Project, embedded_runtime: EmbeddedRuntime):
    assert "TG809" in built.run("logs", "--follow", expect=3).err
    built.run(*UP)
    try:
        follower = built.start("logs", "--follow", "-n", "1")
        interrupted = built.start("logs", "--follow", "-n", "500")
        assert interrupted.stdout is not None
        assert any("Started HTTPService" in line for line in interrupted.stdout)
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate()
        assert interrupted.returncode == 0
        assert built.error("logs", "-f", expect=2)["code"] == "TG009", "one document cannot grow"
        assert follower.stdout is not None
        assert follower.stdout.readline(), "it follows from here on"
    finally:
        built.run("down")
    out, err = follower.communicate()
    assert follower.returncode == 0
    assert "Waiting for in-flight requests" in out, "what came after it began to follow"
    assert err == ""


def test_drift_between_the_server_and_the_disk(built: Project, embedded_runtime: EmbeddedRuntime):
    built.run(*UP)
    try:
        status = built.json("status")
        jsonschema.validate(status, SCHEMAS["status"])
        assert status["drift"] == []
        config = built.config("dense")
        text = config.read_text()
        config.write_text(text.replace("kind: KIND_CPU", "kind: KIND_CPU\n  secondary_devices {}"))
        (first,) = built.json("status", expect=1)["drift"]
        assert (first["code"], first["model"]) == ("TG853", "dense")
        assert first["field"] == "instance_group[0].secondary_devices"
        config.write_text(text)
        extra = '{ key: "enable_mem_arena" value { string_value: "0" } }'
        config.write_text(f"{text}\nparameters {extra}\n")
        built.write("model_repository/later/1/model.onnx", b"")
        out = built.run("status", expect=1).out
        assert 'parameters["enable_mem_arena"]: set on disk, absent on the server' in out
        assert "later: is on disk, and the server has not loaded it" in out
        assert "tritongen restart" in out
    finally:
        built.run("down", "--grace", "1")


def test_the_runtime_is_told_with_its_reason(built: Project, embedded_runtime: EmbeddedRuntime):
    try:
        out = built.run("up", *FREE_PORTS).out
        assert out.startswith("runtime embedded: this machine runs it, with onnxruntime")
    finally:
        built.run("down", "--grace", "1")
    # Nothing here serves a TensorRT plan but a container.
    text = built.config("dense").read_text().replace("onnxruntime", "tensorrt")
    built.write("model_repository/plan/config.pbtxt", text.replace('"dense"', '"plan"'))
    built.write("model_repository/plan/1/model.plan", b"ftrt" + bytes(20))
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    problem = built.error("up", *FREE_PORTS, "--keep-going", expect=3, **nowhere)
    assert problem["code"] == "TG840"
    assert any(
        line.startswith("runtime docker: the embedded Triton cannot serve this")
        and "tensorrt" in line
        for line in problem["details"]
    )


ALL = """
set -e
cd "$1"
"$2" up --http-port 0 --grpc-port 0 --metrics-port 0 --runtime embedded >/dev/null
rm .tritongen/server.json
cd ..
"$2" down --all --grace 1 --format json
grep -lsa '[t]ritonserver/bin' /proc/[0-9]*/cmdline | wc -l
"""


def test_down_all_finds_every_orphan(built: Project, embedded_runtime: EmbeddedRuntime):
    """In a process namespace of its own, where no other test's server can be meant."""
    from support.cli import TRITONGEN

    done = subprocess.run(
        [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            "bash",
            "-c",
            ALL,
            "-",
            built.folder,
            TRITONGEN,
        ],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    document, _, left = done.stdout.rpartition("}")
    assert len(json.loads(document + "}")["stopped"]) == 1
    assert left.strip() == "0"
    assert not servers_of(built)


def test_an_open_address_is_warned_of(built: Project, embedded_runtime: EmbeddedRuntime):
    try:
        host = ("--host", "0.0.0.0")  # noqa: S104  (the warning)
        problem = built.error(*UP, *host, expect=2)
        assert problem["code"] == "TG819"
        assert "--expose" in problem["fix"]
        assert not servers_of(built)
        out = built.run(*UP, *host, "--expose").out
        assert "TG819" in out
        assert "TG837" in out
        assert "24.10" in out
        assert built.state()["endpoints"]["http"].startswith("127.0.0.1:")
    finally:
        built.run("down", "--grace", "1")
    assert Path(built.folder / ".tritongen/server.log").exists()


HUNGRY = """
class TritonPythonModel:
    def initialize(self, args):
        self.kept = [b"x" * (64 << 20) for _ in range(16)]

    def execute(self, requests):
        return []
"""


def test_a_backend_killed_for_memory(built: Project, embedded_runtime: EmbeddedRuntime):
    config = config_text(batch=0).replace('"onnxruntime"', '"python"')
    write_model(built.repository, "hungry", config, {"1/model.py": HUNGRY.encode()})
    with memory_limit(500 << 20) as join:
        problem = Project(built.folder, join).error(*UP, expect=3)
    assert problem["code"] == "TG813"
    assert "hungry" in problem["message"]
    assert "lack of memory" in problem["message"]
    nothing_runs(built)
