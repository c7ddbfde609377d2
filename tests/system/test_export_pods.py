"""Rolling updates of the Kubernetes export's pods: the real Triton, a real engine, gRPC clients."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.cli import Project
from support.export_stack import two_models
from support.pods import Balancer, manifest_of, pods

SECONDS = 45
# The Service goes on sending connections to an ending pod for so long; chosen, a slow cluster's.
FORGETS_AFTER_S = 2


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two models, exported for Kubernetes."""
    built = two_models(tmp_path_factory.mktemp("pods"))
    built.run("export", "kubernetes", "-o", "deploy")
    return built


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    """A Service's port for gRPC."""
    made = Balancer(8001)
    yield made
    made.close()


def rolled(project: Project, image: str, balancer: Balancer, **options: Any) -> list[Any]:
    """What became of the requests of two kinds of clients while two pods were replaced."""
    manifest = manifest_of(project.folder / "deploy")
    with pods(manifest, image, project.repository, **options) as start:
        pod = start()
        balancer.addresses = [pod.address]
        loads = [
            project.start(
                "probe", "-u", f"127.0.0.1:{balancer.port}", "--protocol", "grpc", "-m", "digits",
                "--client", client, "--rate", "40", "--duration", str(SECONDS), "--format", "json",
            )
            for client in ("fast", "tritonclient")
        ]  # fmt: skip
        try:
            time.sleep(5)
            for _ in range(2):
                new = start()
                balancer.addresses.append(new.address)
                forget = threading.Timer(FORGETS_AFTER_S, balancer.addresses.remove, [pod.address])
                forget.start()
                assert pod.end() == 0
                pod = new
            return [outcome(load) for load in loads]
        finally:
            for load in loads:
                load.kill()
                load.communicate()


def outcome(load: Any) -> Any:
    out, err = load.communicate(timeout=300)
    assert load.returncode == 0, err
    return json.loads(out)["levels"][0]["requests"]


def test_no_grpc_request_is_lost_when_pods_are_replaced(project, slim_image, balancer):
    for requests in rolled(project, slim_image, balancer):
        assert requests["failed"] == 0, json.dumps(requests)
        assert requests["ok"] == requests["sent"] > 1000


def test_without_an_age_of_connections_requests_are_lost(project, slim_image, balancer):
    """The test above finds what it is for."""
    outcomes = rolled(project, slim_image, balancer, without=["--grpc-max-connection-age"])
    assert any(requests["failed"] for requests in outcomes)
