"""`tune` on the real Triton leaves a repository alone where nothing is better for its clients."""

import json

import pytest

from support.cli import dense, tree

YAML = "target: {cpus: 1}\nclients: {concurrency: 1}\n"


@pytest.mark.usefixtures("embedded_runtime")
def test_what_is_there_stays_to_the_byte_where_nothing_is_better(project):
    # One client that waits for its answers gains nothing from batches, instances or delays.
    project.add("dense/model.onnx", dense())
    project.write("models/tritongen.yaml", YAML)
    project.run("build", "models")
    before = tree(project.repository)
    document = project.json("tune", "models", "--budget", "12s")
    (model,) = document["models"]
    assert (model["kept"], model["recorded"], model["diff"]) == (True, False, [])
    assert model["best"]["key"] == model["before"]["key"]
    assert tree(project.repository) == before
    assert not project.json("build", "models", "--check")["drift"]

    # A choice that stays is recorded anew where it was made for something else.
    settings = ("instances", "threads", "max_batch_size", "queue_delay_us")
    choice = {name: model["best"][name] for name in settings}
    other = {"goal": "throughput", "cores": 1, "wanted": "the highest throughput over grpc"}
    lock = project.lock()
    assert "tuned" not in lock["models"]["dense"]["evidence"]
    lock["models"]["dense"]["evidence"]["tuned"] = choice | other
    (project.repository / "tritongen.lock").write_text(json.dumps(lock))
    told = project.json("build", "models")["findings"]
    assert any(
        "over grpc; it is to do the highest throughput over http" in item["message"]
        for item in told
    )
    (model,) = project.json("tune", "models", "--budget", "12s")["models"]
    assert (model["kept"], model["recorded"]) == (True, True)
    tuned = project.lock()["models"]["dense"]["evidence"]["tuned"]
    assert {name: tuned.get(name) for name in settings} == choice
    assert tuned["wanted"] == "the highest throughput over http"
