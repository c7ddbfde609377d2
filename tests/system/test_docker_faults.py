"""Faults that the tool survives on a real Docker Engine: one error with its cure, nothing left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.cli import drop_override
from support.docker import Project, add_good, engine, left_over, start_container
from support.engine_proxy import EngineProxy
from support.serving_models import config_text
from support.small_disk import full_disk
from support.triton import READY_SECONDS, server_spec, write_model
from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker.docker_runtime import DockerRuntime
from tritongen.triton.server import RuntimeName

MODEL = "1/model.onnx"
# Takes a gigabyte at its first request.
HUNGRY = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        self.kept = [b"x" * (64 << 20) for _ in range(16)]
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""


@pytest.fixture
def project(docker_project) -> Project:
    return docker_project


def nothing_runs(project: Project) -> None:
    project.settle()
    assert project.containers() == []
    assert project.state() is None


def test_a_second_shell_sees_logs_and_stops(project):
    up = project.up()
    assert up["runtime"] == "docker"
    assert up["image"] == project.image
    out, _ = project.run("status", "--format", "json")
    status = json.loads(out)
    assert status["endpoints"] == up["endpoints"]
    assert status["models"] == [{"name": "good", "ready": True, "reason": ""}]
    out, _ = project.run("logs", "-n", "500")
    assert "successfully loaded 'good'" in out
    project.run("verify")
    assert project.error(*project.UP, "--image", project.image)["code"] == "TG808"
    before = project.state()
    project.run("restart")
    after = project.state()
    assert after.server != before.server
    assert (after.endpoints, after.image) == (before.endpoints, before.image)
    project.down()
    nothing_runs(project)
    # The log outlives its container.
    out, _ = project.run("logs", "-n", "500")
    assert "successfully loaded 'good'" in out
    assert project.error("status")["code"] == "TG809"


def test_server_killed_while_serving(project):
    project.up()
    engine("kill", project.state().container)
    error = project.error("status")
    assert error["code"] == "TG812"
    assert "SIGKILL" in error["message"]
    assert any("HTTPService" in line for line in error["details"])
    # What is left of it does not stand in the way.
    project.up()
    assert len(project.containers()) == 1


def test_container_removed_by_somebody_else(project):
    project.up()
    engine("rm", "--force", project.state().container)
    assert project.error("status")["code"] == "TG809"
    project.down()


def test_backend_killed_for_memory(slim_image, tmp_path):
    repository = add_good(tmp_path)
    config = config_text(batch=0).replace('"onnxruntime"', '"python"')
    write_model(repository, "hungry", config, {"1/model.py": HUNGRY.encode()})
    options = {"memory_bytes": 400 << 20, "auto_complete": False}
    with start_container(slim_image, repository, tmp_path / "p", **options) as (server, client):
        assert all(status.ready for status in server.statuses())
        import numpy as np

        with pytest.raises(EnvironmentProblem):
            client.infer("hungry", {"x": np.zeros(2, np.float32)})
        good, hungry = server.statuses()
        assert good.ready
        assert hungry.code == "TG813"
        assert "lack of memory" in hungry.reason


def test_server_killed_for_memory(slim_image, tmp_path):
    repository = add_good(tmp_path)
    options = {"memory_bytes": 8 << 20, "image": slim_image}
    server = DockerRuntime().start(server_spec(repository, tmp_path / "p", **options))
    try:
        with pytest.raises(EnvironmentProblem) as caught:
            server.wait_ready(READY_SECONDS)
    finally:
        server.stop()
    assert caught.value.code == "TG813"
    assert "137" in caught.value.what
    assert left_over(server.state.server) == []


def test_port_taken(project):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        error = project.error(*project.UP, "--image", project.image, "--http-port", port)
    assert error["code"] == "TG807"
    assert port in error["message"]
    nothing_runs(project)


def test_port_lost_between_the_check_and_the_start(slim_image, tmp_path, monkeypatch):
    repository = add_good(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr("tritongen.serving.docker.docker_runtime.port_findings", lambda *_: ())
        from tritongen.serving.protocol import Ports

        with pytest.raises(EnvironmentProblem) as caught:
            DockerRuntime().start(
                server_spec(repository, tmp_path / "p", ports=Ports(port, 0, 0), image=slim_image)
            )
    assert caught.value.code == "TG807"
    assert Project(tmp_path / "p", slim_image).containers() == []


def test_image_missing(project):
    error = project.error(*project.UP, "--image", "127.0.0.1:9/absent:1")
    assert error["code"] == "TG842"
    assert "127.0.0.1:9/absent:1" in error["message"]
    assert "--image" in error["fix"]
    nothing_runs(project)


def test_image_without_triton(project):
    base = engine("image", "inspect", "--format", "{{.Id}}", "tritongen-base:trixie")
    engine("tag", base, "tritongen-test-empty:1")
    try:
        error = project.error(*project.UP, "--image", "tritongen-test-empty:1")
    finally:
        engine("rmi", "tritongen-test-empty:1")
    assert error["code"] == "TG849"
    nothing_runs(project)


def test_engine_stopped_in_between(project, tmp_path):
    proxy = EngineProxy(tmp_path / "engine.sock")
    away = Project(tmp_path, project.image, proxy.environment)
    error = away.error(*away.UP, "--image", away.image)
    assert error["code"] == "TG840"
    proxy.start()
    try:
        away.up()
        state = away.state()
        proxy.stop()
        assert away.error("status")["code"] == "TG840"
        assert away.error("down")["code"] == "TG840"
        assert away.state() == state, "what cannot be asked for must not be forgotten"
        proxy.start()
        away.run("status")
        away.down()
    finally:
        proxy.stop()
    nothing_runs(project)


def test_an_engine_that_may_not_be_used(project, tmp_path):
    proxy = EngineProxy(tmp_path / "engine.sock")
    proxy.start()
    try:
        os.chown(proxy.path, 65534, 65534)
        proxy.path.chmod(0o600)
        stranger = Project(tmp_path, project.image, proxy.environment)
        words = (*stranger.UP, "--image", stranger.image)
        error = stranger.error(*words, preexec_fn=drop_override)
    finally:
        proxy.stop()
    assert error["code"] == "TG841"
    assert "group `docker`" in error["fix"]
    nothing_runs(project)


def test_in_the_foreground(project):
    process = project.spawn(*project.UP, "--image", project.image, "--foreground")
    assert any("Started HTTPService" in line for line in process.stderr)
    project.run("status")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    nothing_runs(project)


def test_engine_stopped_during_the_start(project, tmp_path):
    proxy = EngineProxy(tmp_path / "engine.sock")
    away = Project(tmp_path, project.image, proxy.environment)
    proxy.start()
    try:
        process = away.spawn(*away.UP, "--image", away.image, "--format", "json")
        while not project.containers():
            time.sleep(0.02)
        proxy.stop()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 3, err
        assert json.loads(out)["error"]["code"] == "TG840"
        proxy.start()  # the guard waits for it
        away.settle()
        assert project.containers() == []
    finally:
        proxy.stop()


def test_one_broken_model_among_good_ones(project):
    repository = project.folder / "model_repository"
    # Right for `check`, which does not know the weights' bytes; refused by the runtime.
    write_model(repository, "damaged", config_text(), {MODEL: b"garbage"})
    error = project.error(*project.UP, "--image", project.image, expect=2)
    assert error["code"].startswith("TG")
    assert "damaged" in error["where"] + error["message"]
    nothing_runs(project)
    up = project.up("--keep-going", expect=1)
    ready = {model["name"]: model["ready"] for model in up["models"]}
    assert ready == {"damaged": False, "good": True}
    out, _ = project.run("status", "--format", "json", expect=1)
    reasons = {model["name"]: model["reason"] for model in json.loads(out)["models"]}
    assert reasons["damaged"]


def test_repository_that_the_container_s_user_cannot_read(project):
    secret = project.folder / "model_repository/good/1/model.onnx"
    secret.chmod(0o600)
    error = project.error(*project.UP, "--image", project.image)
    assert error["code"] == "TG847"
    assert "model.onnx" in error["message"]
    nothing_runs(project)
    project.up("--user", "0:0")


@pytest.mark.parametrize("left", [0, 8192], ids=["nothing is left", "the log fills it"])
def test_disk_full_in_the_state_folder(project, left):
    state = project.folder / ".tritongen"
    with full_disk(state, left=left):
        error = project.error(*project.UP, "--image", project.image)
        assert list(state.glob("*.tmp")) == []
        nothing_runs(project)
    assert error["code"] == "TG005"
    assert ".tritongen" in error["where"]


def test_two_starts_at_once(project):
    words = (*project.UP, "--image", project.image, "--format", "json")
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(project.run, *words, expect=None) for _ in range(2)]
        results = [json.loads(job.result()[0]) for job in jobs]
    winners = [result for result in results if "endpoints" in result]
    (loser,) = [result["error"] for result in results if "error" in result]
    assert len(winners) == 1
    assert loser["code"] in {"TG008", "TG808"}
    assert [item.server for item in project.containers()] == [project.state().server]


def test_stale_state_after_a_reboot(project):
    project.up()
    # After a reboot the container is there and has ended.
    engine("stop", "--time", "5", project.state().container)
    assert project.error("status")["code"] == "TG812"
    project.down()
    nothing_runs(project)


def test_orphans_are_found_by_their_label(project):
    project.up()
    name = project.state().server
    (project.folder / ".tritongen/server.json").unlink()
    (found,) = project.containers()
    assert found.server == name
    assert found.orphaned
    # It still holds nobody's ports, but is not forgotten either.
    assert project.error(*project.UP, "--image", project.image)["code"] == "TG808"
    out, _ = project.run("down", "--format", "json")
    assert json.loads(out)["stopped"] == [name]
    nothing_runs(project)


ALL = """
set -e
cd "$1"
"$2" -m tritongen up --image "$3" --http-port 0 --grpc-port 0 --metrics-port 0 >/dev/null
rm .tritongen/server.json
cd ..
"$2" -m tritongen down --all --grace 1 --format json
"""


def test_down_all_finds_containers_of_every_project(project):
    """In a process namespace of its own: no other test's process can be meant."""
    isolated = ("unshare", "--pid", "--fork", "--mount-proc", "bash", "-c", ALL, "-")
    done = subprocess.run(
        [*isolated, project.folder, sys.executable, project.image],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert len(json.loads(done.stdout)["stopped"]) == 1
    assert project.containers() == []
    assert not (project.folder.parent / ".tritongen").exists(), "nothing is made elsewhere"


def test_auto_takes_the_container_that_is_named(project):
    up = project.up("--runtime", "auto")
    assert up["reason"] == "an image is named"
    assert project.state().runtime is RuntimeName.DOCKER


def test_the_log_is_followed(project):
    project.up()
    follower = project.spawn("logs", "--follow", "-n", "1")
    interrupted = project.spawn("logs", "--follow", "-n", "500")
    assert any("Started HTTPService" in line for line in interrupted.stdout)
    interrupted.send_signal(signal.SIGINT)
    _, err = interrupted.communicate(timeout=60)
    assert (interrupted.returncode, err) == (0, "")
    project.run("down")
    out, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (0, "")
    assert len(out.splitlines()) > 1, "what came after it began to follow"


def test_an_open_address_is_warned_of(project):
    host = ("--host", "0.0.0.0", "--expose")  # noqa: S104  (the warning)
    out, _ = project.run(*project.UP, "--image", project.image, *host)
    assert "TG819" in out
    assert "TG837" in out
    published = engine("port", project.state().container)
    assert "0.0.0.0:" in published
