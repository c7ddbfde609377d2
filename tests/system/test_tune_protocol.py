"""`tritongen tune` over what the clients speak, on the real Triton."""

import jsonschema
import pytest

from support.cli import dense
from support.cli_schemas import SCHEMAS

pytestmark = pytest.mark.smoke


@pytest.mark.usefixtures("embedded_runtime")
def test_requests_travel_as_the_clients_own_do(project):
    project.add("dense/model.onnx", dense())
    project.write("models/tritongen.yaml", "target: {cpus: 1}\nclients: {protocol: grpc}\n")
    document = project.json("tune", "models", "--budget", "8s")
    jsonschema.validate(document, SCHEMAS["tune"])
    (model,) = document["models"]
    assert model["protocol"] == "grpc"
    assert model["best"]["throughput_per_s"]["value"] > 0
    project.run("build", "models")
    shown = project.run("explain", "dense", "instance_group").out
    assert "tuned for throughput over gRPC on 1 core" in shown
    # What was measured over one is no part of a run over the other.
    journal = project.folder / ".tritongen/tune/dense.jsonl"
    lines = journal.read_text()
    resumed = ("tune", "models", "--budget", "8s", "--resume", "--protocol", "http")
    assert project.error(*resumed, expect=2)["code"] == "TG950"
    assert journal.read_text() == lines
