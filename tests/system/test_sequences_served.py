"""Recurrent models through the command line: states kept by Triton, held against a loop by hand."""

import shutil

import numpy as np
import pytest

from support.cli import FREE_PORTS, Project
from support.format_models import torch_cell
from support.recurrent import cell, silero_vad

INTENT = """\
target: { cpus: 4 }
models:
  vad:
    instances: 1
    inputs:
      input: { shape: [1, 512], values: "float[-1,1]" }
      sr: { values: choice(16000) }
    sequence: { state: { state: stateN }, concurrent: 20, idle: 60s }
  cell:
    instances: 1
    sequence:
      state: { h: h_out }
      initial: { h: states/start.bin }
      controls: { start: first, ready: mask }
  script:
    instances: 1
    inputs:
      INPUT__0: { dtype: FP32, dims: [-1, 3] }
      INPUT__1: { dtype: FP32, dims: [-1, 4] }
    outputs:
      OUTPUT__0: { dtype: FP32, dims: [-1, 2] }
      OUTPUT__1: { dtype: FP32, dims: [-1, 4] }
    sequence: { state: { INPUT__1: OUTPUT__1 } }
  rows:
    instances: 1
    batch: true
    max_batch_size: 4
    sequence: { state: { h: h_out }, controls: { ready: mask }, strategy: direct }
"""


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory, embedded_runtime):
    folder = tmp_path_factory.mktemp("recurrent") / "project"
    folder.mkdir()
    project = Project(folder)
    (project.models / "vad").mkdir(parents=True)
    shutil.copy(silero_vad(), project.models / "vad" / "model.onnx")
    project.add("cell/model.onnx", cell(["first", "mask"]))
    project.add("rows/model.onnx", cell(["mask"]))
    torch_cell(project.models / "script" / "model.pt")
    project.write("models/tritongen.yaml", INTENT)
    project.write("models/states/start.bin", np.linspace(-1, 1, 4, dtype="<f4").tobytes())
    project.run("build", "models")
    try:
        project.run("up", *FREE_PORTS)
        yield project
    finally:
        project.run("down", "--grace", "1")  # open sequences would be waited for


def test_every_sequence_is_what_a_loop_by_hand_gives(recurrent):
    found = {item["name"]: item for item in recurrent.json("verify")["models"]}
    assert set(found) == {"cell", "rows", "script", "vad"}
    assert {item["reason"] for item in found.values()} == {"2 sequences of 4 requests compared"}
    assert all(item["ok"] for item in found.values())
    assert [output["name"] for output in found["vad"]["outputs"]] == ["output"]


def test_the_configuration_says_it(recurrent):
    text = recurrent.config("vad").read_text()
    for line in ("max_candidate_sequences: 20", 'input_name: "state"', "dims: [ 2, 1, 128 ]"):
        assert line in text
    assert "direct {" in recurrent.config("rows").read_text()
    assert 'data_file: "states_start.bin"' in recurrent.config("cell").read_text()
    assert (recurrent.repository / "cell" / "initial_state" / "states_start.bin").is_file()
    assert "No model_warmup" in text
    recurrent.run("check", "model_repository")
    recurrent.run("build", "models", "--check")
    (line,) = [
        item
        for item in recurrent.json("explain", "vad")["values"]
        if item["field"] == "sequence_batching.state[0]"
    ]
    assert "zeros of [2, 1, 128] begin a sequence" in line["reason"]


@pytest.mark.parametrize("model", ["vad", "script"])
def test_sequences_are_probed(recurrent, model):
    found = recurrent.json(
        "probe", "-m", model, "--sequence", "5", "--concurrency", "2", "--duration", "1s",
        expect=None,
    )  # fmt: skip
    requests = found["levels"][0]["requests"]
    assert requests["failed"] == 0
    assert requests["ok"] > 0


def test_a_state_that_the_model_lacks_is_told(recurrent, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(recurrent.folder / "models" / "cell", folder / "models" / "cell")
    project = Project(folder)
    project.write("models/tritongen.yaml", "models: {cell: {sequence: {state: {h: hidden}}}}")
    problem = project.error("build", "models", "--no-trial", expect=2)
    assert problem["code"] == "TG101"
    (told,) = problem["details"]
    assert "no output 'hidden'; it has y, h_out" in told
    assert problem["fix"] in told
    assert told.endswith("[TG318]")


def test_first_states_that_cannot_be(recurrent, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(recurrent.folder / "models" / "cell", folder / "models" / "cell")
    project = Project(folder)
    text = "models: {cell: {sequence: {state: {h: h_out}, initial: {h: NAME}}}}"
    cases = {"absent.bin": "TG318", "../outside.bin": "TG304", "short.bin": "TG422"}
    project.write("outside.bin", bytes(16))
    project.write("models/short.bin", bytes(15))
    for name, code in cases.items():
        project.write("models/tritongen.yaml", text.replace("NAME", name))
        problem = project.error("build", "models", "--no-trial", expect=2)
        assert code in {problem["code"], *(part[-6:-1] for part in problem["details"])}, problem


def test_linked_weights_carry_the_first_state(recurrent, tmp_path):
    folder = tmp_path / "project"
    for name in ("cell", "states"):
        shutil.copytree(recurrent.models / name, folder / "models" / name)
    project = Project(folder)
    sequence = "{state: {h: h_out}, initial: {h: states/start.bin}, controls: {start: first}}"
    inputs = "{mask: {values: choice(1)}}"
    text = f"models: {{cell: {{inputs: {inputs}, sequence: {sequence}}}}}"
    project.write("models/tritongen.yaml", text)
    project.run("build", "models", "--weights", "symlink")
    place = project.repository / "cell" / "initial_state" / "states_start.bin"
    assert place.is_symlink()
    assert place.read_bytes() == (project.models / "states" / "start.bin").read_bytes()
    project.run("build", "models", "--weights", "symlink", "--check")
    project.write("models/states/start.bin", bytes(16))
    project.run("build", "models", "--weights", "symlink", "--check", expect=1)


def test_tuning_a_model_with_state_is_refused_at_once(recurrent):
    problem = recurrent.error("tune", "models", "-m", "vad", "--budget", "8s", expect=2)
    assert problem["code"] == "TG306"
    assert any("keeps state between requests" in line for line in problem["details"])
