"""`doctor` with a real Docker Engine: the image, its backends, the mount."""

import pytest

from support.cli import FREE_PORTS, Project
from support.serving_models import config_text, identity
from support.triton import write_model


@pytest.fixture
def project(project: Project) -> Project:
    write_model(project.repository, "m", config_text(), {"1/model.onnx": identity()})
    return project


def docker(project: Project, image: str, *words: str, expect: int = 0) -> dict[str, dict]:
    """The checks of the container."""
    document = project.json("doctor", *FREE_PORTS, "--image", image, *words, expect=expect)
    assert document["runtime"] == "docker"
    return {item["name"]: item for item in document["checks"] if item["name"][:6] == "docker"}


def test_everything_is_there(project: Project, slim_image: str):
    checks = docker(project, slim_image)
    assert [name for name, item in checks.items() if not item["ok"]] == []
    assert (
        "named with --image; it is here and is not pulled over"
        in (checks["docker.image"]["message"])
    )
    assert "user 1000:1000 can read" in checks["docker.mount"]["message"]
    assert "CPUs" in checks["docker.engine"]["message"]


def test_an_image_that_is_nowhere(project: Project):
    fault = docker(project, "127.0.0.1:9/absent:1", expect=3)["docker.image"]
    assert (fault["code"], fault["severity"]) == ("TG842", "error")


def test_an_image_that_lacks_a_backend(project: Project, slim_image: str):
    config = project.config("m")
    config.write_text(config.read_text().replace("onnxruntime", "openvino"))
    fault = docker(project, slim_image, expect=3)["docker.image"]
    assert fault["code"] == "TG843"
    assert "'openvino'; it holds onnxruntime, python" in fault["message"]


def test_weights_that_the_container_s_user_may_not_read(project: Project, slim_image: str):
    (project.repository / "m/1/model.onnx").chmod(0o600)
    fault = docker(project, slim_image, expect=3)["docker.mount"]
    assert fault["code"] == "TG847"
    assert docker(project, slim_image, "--user", "0:0")["docker.mount"]["ok"]


def test_gpus_that_the_engine_does_not_have(project: Project, slim_image: str):
    write_model(project.models, "g", None, {"1/model.onnx": identity()})
    project.write("models/tritongen.yaml", "target: {cpus: 1, gpus: 1}\n")
    project.run("build", "models", "--no-trial", "-o", "gpu")
    document = project.json("doctor", "gpu", *FREE_PORTS, "--image", slim_image, expect=3)
    codes = {item["name"]: item["code"] for item in document["checks"] if not item["ok"]}
    assert codes["docker.limits"] == "TG826"
    assert codes["gpus"] == "TG826"
    assert codes["embedded.gpus"] == "TG806"
