"""What every runtime promises: the fake, the embedded Triton, and a container."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.docker import build_slim_image
from support.fake_runtime import FakeRuntime
from support.serving_models import config_text, identity
from support.triton import READY_SECONDS, server_spec, write_model
from tritongen.errors import CODES, EnvironmentProblem
from tritongen.model.findings import Severity
from tritongen.serving.docker.docker_runtime import DockerRuntime
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.serving.protocol import ServerRuntime, ServerSpec
from tritongen.serving.running_server import RunningServer
from tritongen.triton.server import ModelStatus
from tritongen.triton.server_state import StateStore


@dataclass(frozen=True)
class Harness:
    """A runtime under test.

    Attributes:
        runtime: to start with.
        image: of its containers.
    """

    runtime: ServerRuntime
    image: str = ""


def fake() -> Harness:
    return Harness(FakeRuntime())


def embedded() -> Harness:
    return Harness(EmbeddedRuntime())


def docker() -> Harness:
    return Harness(DockerRuntime(), image=build_slim_image())


MODELS = ("good", "bad", "other", "absent")
REAL = pytest.mark.real
HARNESSES = [
    fake,
    pytest.param(embedded, marks=[REAL, pytest.mark.smoke]),
    pytest.param(docker, marks=[REAL, pytest.mark.xdist_group("docker")]),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runtime") / "repository"
    write_model(folder, "good", config_text(), {"1/model.onnx": identity()})
    write_model(folder, "other", config_text(), {"1/model.onnx": identity()})
    write_model(folder, "bad", config_text(dims=[7]), {"1/model.onnx": identity(), "broken": b""})
    return folder


@pytest.fixture(scope="module", params=HARNESSES, ids=lambda harness: harness.__name__)
def harness(request) -> Harness:
    return request.param()


@contextmanager
def started(harness: Harness, spec: ServerSpec) -> Iterator[RunningServer]:
    server = harness.runtime.start(replace(spec, image=harness.image))
    try:
        yield server
    finally:
        server.stop()


def test_life_of_a_server(harness, repository, tmp_path):
    spec = server_spec(repository, tmp_path / "project", MODELS, auto_complete=False)
    with started(harness, spec) as server:
        told = []
        statuses = server.wait_ready(READY_SECONDS, lambda *step: told.append(step))
        assert server.alive()
        assert server.endpoints.http or server.endpoints.grpc

        # One status for each expected model, in the order of the spec.
        good, bad, other, absent = statuses
        assert [status.name for status in statuses] == list(spec.models)
        assert good == ModelStatus("good", ready=True)
        assert other.ready
        for status in (bad, absent):
            assert not status.ready
            assert status.reason
            assert status.code in CODES
        assert server.statuses() == statuses
        assert all(0 <= done <= total for _, done, total in told)

        assert isinstance(server.logs(5), tuple)
        assert len(server.logs(1)) <= 1
        assert server.logs()

        # A second shell finds it by its state file.
        state = server.state
        store = StateStore(spec.project)
        store.write(state)
        assert store.read() == state
        again = harness.runtime.attach_to(state)
        assert again is not None
        assert again.alive()
        assert again.endpoints == server.endpoints
        assert again.statuses() == statuses

        again.stop()
        assert not server.alive()
        assert harness.runtime.attach_to(state) is None
        with pytest.raises(EnvironmentProblem) as caught:
            server.statuses()
        assert caught.value.code == "TG812"
        server.stop()  # once more does nothing


def test_preflight_of_a_good_spec(harness, repository, tmp_path):
    spec = server_spec(
        repository, tmp_path / "project", ("good",), backends=("onnxruntime",), image=harness.image
    )
    findings = harness.runtime.preflight(spec)
    assert [item for item in findings if item.severity is Severity.ERROR] == []


def test_preflight_of_a_missing_repository(harness, tmp_path):
    spec = server_spec(tmp_path / "absent", tmp_path / "project", (), image=harness.image)
    findings = harness.runtime.preflight(spec)
    errors = [item.code for item in findings if item.severity is Severity.ERROR]
    assert errors == ["TG831"]


def test_a_timeout_is_told_with_the_models_that_wait(repository, tmp_path):
    # No real model loads for ever; the loop that waits is the same for every runtime.
    spec = server_spec(repository, tmp_path / "project", ("good", "other"))
    with started(Harness(FakeRuntime(delay=3600)), spec) as server:
        with pytest.raises(EnvironmentProblem) as caught:
            server.wait_ready(0.2)
        assert server.alive()
    assert caught.value.code == "TG811"
    assert "good, other" in caught.value.what
