"""More exports that are really started: two services of one plan, Azure ML's own container."""

import os

import pytest

from support.cli import Project
from support.closed_apis import HTTP_CALLS
from support.export_stack import docker, eventually, free_ports, http, two_models

SEPARATE = """\
target: {cpus: 2, memory: 1GiB}
models:
  digits: {rate: 20, instances: 1, threads: 1}
  breast_cancer: {rate: 20, instances: 1, threads: 1}
services: {left: [digits], right: [breast_cancer]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two models in one repository, planned as two services."""
    built = two_models(tmp_path_factory.mktemp("started"))
    built.write("models/tritongen.yaml", SEPARATE)
    built.run("build", "models")
    return built


@pytest.mark.smoke
def test_each_service_of_a_plan_serves_its_own_models_only(project, slim_image):
    project.run("plan", "models", "--machine", "Standard_F4s_v2", "--no-trial")
    project.run("export", "compose", "-o", "compose")
    left, right, *others = free_ports(6)
    names = ("LEFT_GRPC_PORT", "LEFT_METRICS_PORT", "RIGHT_GRPC_PORT", "RIGHT_METRICS_PORT")
    environment = {
        **os.environ,
        "LEFT_IMAGE": slim_image, "RIGHT_IMAGE": slim_image, "LEFT_CPUS": "1", "RIGHT_CPUS": "1",
        "LEFT_HTTP_PORT": str(left), "RIGHT_HTTP_PORT": str(right),
        **dict(zip(names, map(str, others), strict=True)),
    }  # fmt: skip
    compose = ("compose", "-p", f"started-{os.getpid()}")
    place = {"cwd": project.folder / "compose", "env": environment}
    try:
        up = ("up", "--detach", "--wait", "--wait-timeout", "170", "left", "right")
        docker(*compose, *up, **place)
        for port, own, other in (
            (left, "digits", "breast_cancer"),
            (right, "breast_cancer", "digits"),
        ):
            address = f"127.0.0.1:{port}"
            assert http(address, f"/v2/models/{own}/ready")[0] == 200
            assert http(address, f"/v2/models/{other}/ready")[0] == 400
            # Explicit control is for the start only: nobody loads or unloads from outside.
            for word in ("load", "unload"):
                path = f"/v2/repository/models/{own}/{word}"
                assert http(address, path, "POST")[0] == 403
            project.run("probe", "-u", address, "-m", own, "--duration", "1")
    finally:
        docker(*compose, "down", "--volumes", "--timeout", "1", **place)


def test_azures_container_serves_what_azure_mounts(project, slim_image):
    project.run("export", "azureml", "-o", "azure", "--image", slim_image)
    folder = next((project.folder / "azure").glob("**/Dockerfile")).parent
    tag = f"tritongen-test-azure:{os.getpid()}"
    mount = "/var/azureml-app/azureml-models/triton-models/1"
    name = f"azure-{os.getpid()}"
    (port,) = free_ports(1)
    docker("build", "-q", "-t", tag, str(folder))
    try:
        docker(
            "run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:8000",
            "--env", f"AZUREML_MODEL_DIR={mount}",
            "--volume", f"{project.repository}:{mount}/model_repository:ro", tag,
        )  # fmt: skip
        eventually(lambda: http(f"127.0.0.1:{port}", "/v2/health/ready")[0] == 200)
        ready = [name for name in ("digits", "breast_cancer")
                 if http(f"127.0.0.1:{port}", f"/v2/models/{name}/ready")[0] == 200]  # fmt: skip
        assert ready
        shown = "import os; print(os.getuid())"
        assert docker("exec", name, "python3", "-c", shown) == "1000"
        closed = [path for method, path in HTTP_CALLS
                  if http(f"127.0.0.1:{port}", path, method)[0] != 403]  # fmt: skip
        assert closed == []
    finally:
        docker("rm", "--force", name, check=False)
        docker("image", "rm", tag, check=False)
