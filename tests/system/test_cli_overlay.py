"""Faults of `tritongen.yaml` through the command line: all at once, each with its path and line."""

import pytest

from support.cli import INTENT, SERVED, Project, dense, tree

pytestmark = pytest.mark.smoke


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
    """The model is left out with its code and fix; the others are written."""
    built.write("models/tritongen.yaml", f"{INTENT}    overlay:\n      {overlay}\n")
    before = tree(built.repository)
    document = built.json("build", "models", expect=1)
    (lost,) = document["left_out"]
    assert (lost["name"], lost["code"]) == ("dense", code)
    assert "dense" in {item["name"] for item in document["refused"]}
    assert [item["name"] for item in document["models"]] == [*SERVED[1:]]
    after = tree(built.repository)
    gone = {path for path in before if path.startswith("dense/")}
    assert set(before) - set(after) == gone
    assert all(after[path] == before[path] for path in after if not path.endswith("tritongen.lock"))
    # It stays so, and is told each time, until the overlay is mended.
    told = built.run("build", "models", "--check", expect=1).out
    assert code in told.partition("not served: dense [")[2].partition("]")[0]
    built.write("models/tritongen.yaml", INTENT)
    assert built.json("build", "models")["written"]
    assert tree(built.repository) == before


def test_what_check_ignores_leaves_no_model_out(built: Project) -> None:
    overlay = "    overlay: {parameters: {execution_mode: parallel}}\n"
    ignore = '    check: {ignore: ["TG501 (a backend of ours reads it)"]}\n'
    built.write("models/tritongen.yaml", f"{INTENT}{overlay}")
    assert [item["code"] for item in built.json("build", "models", expect=1)["left_out"]] == [
        "TG501"
    ]
    built.write("models/tritongen.yaml", f"{INTENT}{overlay}{ignore}")
    document = built.json("build", "models")
    assert "dense" in {item["name"] for item in document["models"]}
    assert document["left_out"] == []
    checked = built.json("check")
    assert checked["summary"]["errors"] == 0
    assert checked["ignored"] == 1


def test_nothing_else_to_serve(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    project.write("models/tritongen.yaml", f"{INTENT}    overlay: {{max_batch_size: -1}}\n")
    problem = project.error("build", "models", "--no-trial", expect=2)
    assert problem["code"] == "TG101"
    told = problem["details"][0]
    assert told.startswith("dense: ")
    assert told.endswith("[TG406]")
    assert "→ " in told
    assert not project.repository.exists()


def test_a_pipeline_is_left_out_with_its_model(built: Project) -> None:
    steps = "steps: [{model: dense, inputs: {x: x}}], outputs: [y]"
    pipelines = f"pipelines:\n  whole: {{{steps}}}\n  half: {{{steps.replace('dense', 'fixed')}}}\n"
    built.write(
        "models/tritongen.yaml", f"{INTENT}    overlay: {{max_batch_size: -1}}\n{pipelines}"
    )
    document = built.json("build", "models", expect=1)
    lost = [(item["name"], item["code"]) for item in document["left_out"]]
    assert lost == [("dense", "TG406"), ("whole", "TG308")]
    assert {path.name for path in built.repository.iterdir() if path.is_dir()} == {
        *SERVED[1:], "half"
    }  # fmt: skip
    built.run("check")


@pytest.mark.parametrize("size", ["0", "null", '"0"'])
def test_an_overlay_turns_batching_off(built: Project, size: str) -> None:
    built.write("models/tritongen.yaml", f"{INTENT}    overlay: {{max_batch_size: {size}}}\n")
    built.run("build", "models")
    off = built.config("dense").read_text()
    built.write("models/tritongen.yaml", f"{INTENT}    batch: false\n")
    built.run("build", "models")
    assert _values(off) == _values(built.config("dense").read_text())
    assert "dims: [ -1, 4 ]" in off


def test_the_table_shows_what_is_written(built: Project) -> None:
    """Not the plan, where an overlay has the last word."""
    parameters = 'parameters: {intra_op_thread_count: "2"}'
    groups = "instance_group: [{count: 1, kind: KIND_CPU}]"
    overlay = f"overlay: {{{parameters}, {groups}, dynamic_batching: null, max_batch_size: 4}}"
    text = INTENT.replace("cpus: 4", "cpus: 64")
    built.write("models/tritongen.yaml", f"{text}    {overlay}\n")
    document = built.json("build", "models")
    (model,) = (item for item in document["models"] if item["name"] == "dense")
    shown = ("max_batch_size", "instances", "threads", "dynamic_batching")
    assert [model[key] for key in shown] == [4, 1, 2, False]
    ran = built.run("build", "models")
    (line,) = (line for line in ran.out.splitlines() if line.startswith("dense "))
    assert line.split(maxsplit=5) == ["dense", "4", "1", "×", "2", "off: by the overlay"]
    # So does the sum below it.
    others = sum(
        item["instances"] * item["threads"] for item in document["models"] if item is not model
    )
    assert document["threads"] == others + 2


def test_an_overlay_sets_the_batch_size_that_is_planned_for(built: Project) -> None:
    built.write("models/tritongen.yaml", f"{INTENT}    overlay: {{max_batch_size: 1}}\n")
    built.run("build", "models")
    text = built.config("dense").read_text()
    assert "max_batch_size: 1" in text
    assert "dynamic_batching {" not in text
    built.run("check")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("{batch: false, overlay: {max_batch_size: 8}}", "contradicts batch: false"),
        ("{batch: true, overlay: {max_batch_size: 0}}", "contradicts batch: true"),
        ("{batch: true, max_batch_size: 0}", "contradicts batch: true"),
        ("{max_batch_size: 4, overlay: {max_batch_size: 8}}", "is above max_batch_size: 4"),
    ],
)
def test_an_overlays_batch_size_against_the_other_keys(
    built: Project, more: str, said: str
) -> None:
    built.write("models/tritongen.yaml", f"models:\n  dense: {more}\n")
    problem = built.error("build", "models", expect=2)
    assert problem["code"] == "TG305"
    assert len(problem["details"]) == 1
    assert said in problem["details"][0]


def test_an_overlay_that_demands_batching_against_the_proof(built: Project) -> None:
    built.write("models/tritongen.yaml", INTENT + "  fixed: {overlay: {max_batch_size: 8}}\n")
    (problem,) = built.json("build", "models", expect=1)["left_out"]
    assert (problem["name"], problem["code"]) == ("fixed", "TG205")
    assert "Leave `batch` and an overlay's `max_batch_size` out" in problem["fix"]


def _values(text: str) -> list[str]:
    """A configuration without comments and without a max_batch_size of 0, which is Triton's own."""
    left_out = ("#", "max_batch_size: 0")
    return [line for line in text.splitlines() if line and not line.lstrip().startswith(left_out)]


def test_batching_on_the_users_word_against_the_proof(built: Project) -> None:
    built.write("models/tritongen.yaml", INTENT + "  fixed: {batch: true}\n")
    (problem,) = built.json("build", "models", expect=1)["left_out"]
    assert problem["code"] == "TG205"
    assert "axis 0 of input 'x'" in problem["message"]


def test_more_threads_than_the_target_has(built: Project) -> None:
    built.write("models/tritongen.yaml", INTENT + "    threads: 9\n")
    assert built.json("build", "models", expect=1)["left_out"][0]["code"] == "TG305"


def test_a_rate_beyond_the_cores(built: Project) -> None:
    text = INTENT.replace("average: 50, peak: 200", "average: 5, peak: 90000000")
    built.write("models/tritongen.yaml", text)
    document = built.json("build", "models")
    assert "TG315" in {item["code"] for item in document["findings"]}
