"""What every runtime promises: the fake, the embedded Triton, a container, and one attached to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.docker import build_slim_image
from support.fake_runtime import FakeRuntime
from support.serving_models import config_text, identity
from support.triton import READY_SECONDS, server_spec, write_model
from tritongen.errors import CODES, EnvironmentProblem
from tritongen.model.findings import Severity
from tritongen.serving.attached import AttachedRuntime
from tritongen.serving.docker.container_settings import DockerOptions
from tritongen.serving.docker.docker_runtime import DockerRuntime
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.serving.protocol import RunningServer, Runtime, ServerSpec
from tritongen.triton.address import Endpoint
from tritongen.triton.server import ModelStatus
from tritongen.triton.server_state import StateStore


@dataclass(frozen=True)
class Harness:
    """A runtime under test.

    Attributes:
        runtime: to start with.
        owns: stopping it ends the server.
        logs: its log can be read.
    """

    runtime: Runtime
    owns: bool = True
    logs: bool = True


@contextmanager
def fake(_spec: ServerSpec) -> Iterator[Harness]:
    yield Harness(FakeRuntime())


@contextmanager
def embedded(_spec: ServerSpec) -> Iterator[Harness]:
    yield Harness(EmbeddedRuntime())


@contextmanager
def docker(_spec: ServerSpec) -> Iterator[Harness]:
    yield Harness(DockerRuntime(DockerOptions(image=build_slim_image())))


@contextmanager
def _attached(spec: ServerSpec, scheme: str) -> Iterator[Harness]:
    server = EmbeddedRuntime().start(spec)
    try:
        server.wait_ready(READY_SECONDS)
        host = server.endpoints.http if scheme == "http" else server.endpoints.grpc
        headers = server.state.headers(grpc=scheme == "grpc")
        endpoint = Endpoint.parse(f"{scheme}://{host}", headers=headers)
        yield Harness(AttachedRuntime(endpoint), owns=False, logs=False)
        assert server.alive(), "an attached server must outlive its visitors"
    finally:
        server.stop()


def attached_http(spec: ServerSpec):
    return _attached(spec, "http")


def attached_grpc(spec: ServerSpec):
    return _attached(spec, "grpc")


MODELS = ("good", "bad", "other", "absent")
REAL = pytest.mark.real
HARNESSES = [
    fake,
    pytest.param(embedded, marks=[REAL, pytest.mark.smoke]),
    pytest.param(docker, marks=[REAL, pytest.mark.xdist_group("docker")]),
    pytest.param(attached_http, marks=REAL),
    pytest.param(attached_grpc, marks=REAL),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runtime") / "repository"
    write_model(folder, "good", config_text(), {"1/model.onnx": identity()})
    write_model(folder, "other", config_text(), {"1/model.onnx": identity()})
    write_model(folder, "bad", config_text(dims=[7]), {"1/model.onnx": identity(), "broken": b""})
    return folder


@pytest.fixture(scope="module", params=HARNESSES, ids=lambda harness: harness.__name__)
def harness(request, repository, tmp_path_factory) -> Iterator[Harness]:
    owner = tmp_path_factory.mktemp("owner")
    with request.param(server_spec(repository, owner, auto_complete=False)) as made:
        yield made


@contextmanager
def started(harness: Harness, spec: ServerSpec) -> Iterator[RunningServer]:
    server = harness.runtime.start(spec)
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
        assert bool(server.logs()) is harness.logs

        state = server.state
        if harness.owns:
            # A second shell finds it by its state file.
            store = StateStore(spec.project)
            store.write(state)
            assert store.read() == state
        again = harness.runtime.attach_to(state)
        assert again is not None
        assert again.alive()
        assert again.endpoints == server.endpoints
        assert again.statuses() == statuses

        again.stop()
        if harness.owns:
            assert not server.alive()
            assert harness.runtime.attach_to(state) is None
            with pytest.raises(EnvironmentProblem) as caught:
                server.statuses()
            assert caught.value.code == "TG812"
        server.stop()  # once more does nothing


def test_preflight_of_a_good_spec(harness, repository, tmp_path):
    spec = server_spec(repository, tmp_path / "project", ("good",), backends=("onnxruntime",))
    findings = harness.runtime.preflight(spec)
    assert [item for item in findings if item.severity is Severity.ERROR] == []


def test_preflight_of_a_missing_repository(harness, tmp_path):
    spec = server_spec(tmp_path / "absent", tmp_path / "project", ())
    findings = harness.runtime.preflight(spec)
    errors = [item.code for item in findings if item.severity is Severity.ERROR]
    assert errors == (["TG831"] if harness.owns else [])


def test_a_timeout_is_told_with_the_models_that_wait(repository, tmp_path):
    # No real model loads for ever; the loop that waits is the same for every runtime.
    spec = server_spec(repository, tmp_path / "project", ("good", "other"))
    with started(Harness(FakeRuntime(delay=3600)), spec) as server:
        with pytest.raises(EnvironmentProblem) as caught:
            server.wait_ready(0.2)
        assert server.alive()
    assert caught.value.code == "TG811"
    assert "good, other" in caught.value.what
