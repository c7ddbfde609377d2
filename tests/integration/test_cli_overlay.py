"""Faults of `tritongen.yaml` through the command line: all at once, each with its path and line."""

import pytest

from support.cli import INTENT, Project, tree

BROKEN = """\
target: {cpus: 4}
models:
  dense:
    rate: {average: 50, peak: 20}
    overlay:
      instance_grop: [{count: 8}]
      max_batch_size: many
    inputs:
      x: {values: "int[0"}
      z: {values: zeros}
  dence: {}
"""


def test_every_fault_with_its_line(built: Project) -> None:
    built.write("models/tritongen.yaml", BROKEN)
    problem = built.error("build", "models", expect=2)
    text = "\n".join(problem["details"])
    # What the file says comes first; what it says of the models comes when it can be read.
    assert "line 4: models.dense.rate.peak: must not be below average [TG305]" in text
    assert "line 6: models.dense.overlay.instance_grop" in text
    assert "did you mean `instance_group`?" in text
    assert "line 7: models.dense.overlay.max_batch_size" in text
    built.write("models/tritongen.yaml", BROKEN.replace("peak: 20", "peak: 80"))
    text = "\n".join(built.error("build", "models", expect=2)["details"])
    assert "line 9: models.dense.inputs.x.values" in text
    assert "line 10: models.dense.inputs.z: the model has no such input; it has x" in text
    assert "line 11: models.dence: there is no such model in the folder; did you mean" in text


@pytest.mark.parametrize(
    ("overlay", "code"),
    [
        ("instance_group: [{count: 5, kind: KIND_CPU}]", "TG313"),
        ('parameters: {intra_op_thread_count: "16"}', "TG313"),
        ("dynamic_batching: {priority_levels: 2, default_priority_level: 5}", "TG409"),
        ("input: [{name: x, data_type: TYPE_INT64, dims: [4]}]", "TG508"),
        ("max_batch_size: -1", "TG406"),
    ],
)
def test_an_overlay_that_breaks_a_rule(built: Project, overlay: str, code: str) -> None:
    built.write("models/tritongen.yaml", f"{INTENT}    overlay:\n      {overlay}\n")
    before = tree(built.repository)
    assert built.error("build", "models", expect=2)["code"] == code
    assert tree(built.repository) == before


def test_batching_on_the_users_word_against_the_proof(built: Project) -> None:
    built.write("models/tritongen.yaml", INTENT + "  fixed: {batch: true}\n")
    problem = built.error("build", "models", expect=2)
    assert problem["code"] == "TG205"
    assert "axis 0 of input 'x'" in problem["message"]


def test_more_threads_than_the_target_has(built: Project) -> None:
    built.write("models/tritongen.yaml", INTENT + "    threads: 9\n")
    assert built.error("build", "models", expect=2)["code"] == "TG305"


def test_a_rate_beyond_the_cores(built: Project) -> None:
    text = INTENT.replace("average: 50, peak: 200", "average: 5, peak: 90000000")
    built.write("models/tritongen.yaml", text)
    document = built.json("build", "models")
    assert "TG315" in {item["code"] for item in document["findings"]}
