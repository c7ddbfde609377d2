"""The main job in a container: from a built repository to answers, from a second shell."""

import jsonschema
import pytest

from support.cli import FREE_PORTS, SERVED, Project
from support.cli_schemas import SCHEMAS
from support.docker import engine
from tritongen.triton.server_state import project_label

pytestmark = pytest.mark.smoke


def test_built_models_are_served_and_verified(built: Project, slim_image: str):
    label = f"label=tritongen.label={project_label(built.folder)}"
    try:
        up = built.json("up", *FREE_PORTS, "--image", slim_image)
        jsonschema.validate(up, SCHEMAS["up"])
        assert [item["name"] for item in up["models"] if item["ready"]] == [*SERVED]
        status = built.json("status")
        jsonschema.validate(status, SCHEMAS["status"])
        assert status["drift"] == []
        answers = built.json("verify")["models"]
        assert [item["name"] for item in answers if item["ok"]] == [*SERVED]
        levels = built.json("probe", "-m", "dense", "--duration", "1")["levels"]
        assert levels[0]["requests"]["ok"] > 0
        assert built.json("doctor", "--image", slim_image)["runtime"] == "docker"
        assert engine("ps", "--quiet", "--filter", label)
    finally:
        built.run("down")
    assert engine("ps", "--all", "--quiet", "--filter", label) == ""


def test_memory_and_cores_of_the_plan_are_the_container_s(built: Project, slim_image: str):
    target = "target: {cpus: 1, memory: 700MiB}\n"
    path = built.models / "tritongen.yaml"
    path.write_text(path.read_text().replace("target: {cpus: 4}\n", target))
    built.run("build", "models")
    line = built.run("up", *FREE_PORTS, "--image", slim_image, "--dry-run").out
    for words in ("--cpus 1 ", f"--memory {700 << 20} ", "--env OMP_NUM_THREADS=1 "):
        assert words in line
