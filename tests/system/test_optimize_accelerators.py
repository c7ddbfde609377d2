"""Execution accelerators of the target: shown with a note, kept with their configuration."""

from typing import Any

import pytest

from support.cli import Project
from support.optimize import trained
from support.optimize.running import optimized, variant

SAMPLES = ("--quantize", "--data", "samples.npz", "--max-drop", "1")


@pytest.fixture
def net(project: Project) -> Project:
    """A CNN with a fixed batch for a target with a GPU."""
    project.add("net/model.onnx", trained.cnn(batch=1))
    project.write(
        "models/tritongen.yaml", "target: {gpus: 1}\nmodels: {net: {max_batch_size: 8}}\n"
    )
    return project


def accelerator_steps(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for step in model["steps"] if step["kind"] == "accelerator"]


def test_shown_with_what_could_not_be_run(net: Project) -> None:
    (step,) = accelerator_steps(optimized(net))
    assert (step["name"], step["applied"]) == ("tensorrt-fp16", False)
    assert "not run here" in step["reason"]
    assert not (net.models / ".variants").exists()


def test_written_into_the_configuration(net: Project) -> None:
    original = (net.models / "net" / "model.onnx").read_bytes()
    model = optimized(net, "--fix", "--accelerate")
    found = variant(model, "tensorrt-fp16")
    assert (found["verdict"], found["speedup"]) == ("not_measured", None)
    assert model["chosen"] == "fixed"
    net.run("build", "models", "--variant", "net=tensorrt-fp16")
    text = net.config("net").read_text()
    for words in (
        'name: "tensorrt"',
        'value: "FP16"',
        'key: "trt_engine_cache_enable"',
        'value: "x:1x1x8x8"',
        'value: "x:8x1x8x8"',
        "not run here",
    ):
        assert words in text
    assert net.json("check")["summary"]["errors"] == 0
    assert not net.json("build", "models", "--check")["drift"]
    assert (net.models / "net" / "model.onnx").read_bytes() == original


def test_eight_bits_with_the_calibration_in_the_graph(net: Project) -> None:
    trained.save_samples(net.folder / "samples.npz", "x", (1, 8, 8), rows=24)
    model = optimized(net, *SAMPLES, "--fix", "--accelerate", "--budget", "1", expect=None)
    kept = {item["name"]: item for item in model["variants"]}
    # A variant that is slower on this machine's CPU is not kept, and there is no INT8 then.
    assert ("tensorrt-int8" in kept) == (kept["int8-static"]["path"] is not None)
    if "tensorrt-int8" in kept:
        assert "no table is needed" in kept["tensorrt-int8"]["reason"]
        net.run("build", "models", "--variant", "net=tensorrt-int8", "--no-trial")
        assert 'value: "INT8"' in net.config("net").read_text()
