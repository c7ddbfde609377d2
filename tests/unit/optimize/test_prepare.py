"""Ranges of tensors over calibration samples, and what suits a target's devices."""

from pathlib import Path

import numpy as np
import pytest

from support.optimize import faulty
from tritongen.model.tensors import DType
from tritongen.optimize.accelerators import accelerators
from tritongen.optimize.child_jobs import JobInput
from tritongen.optimize.isa import Isa
from tritongen.optimize.onnx_session import RunRefusal
from tritongen.optimize.quantize.prepare import calibrate, prepare
from tritongen.optimize.user_samples import Samples

INPUT = JobInput("x", DType.FP32, (-1, 4), (1, 4))


def samples(rows: np.ndarray) -> Samples:
    return Samples({"x": rows}, None, frozenset({"x"}), len(rows))


def test_least_and_greatest_of_every_tensor(tmp_path: Path) -> None:
    weights = faulty.weights("w", 4, 64)
    nodes = [
        faulty.node("MatMul", "x w", "h"),
        faulty.node("Tanh", "h", "t"),
        faulty.node("Cast", "t", "y", to=faulty.INT64),
    ]
    outputs = [faulty.tensor("y", ["n", 64], faulty.INT64)]
    model = faulty.model(nodes, [faulty.tensor("x", ["n", 4])], outputs, [weights])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    prepared = prepare(path, tmp_path, dynamic=False)
    rows = np.random.default_rng(0).normal(0, 1, (12, 4)).astype(np.float32)
    ranges = calibrate(prepared, samples(rows))
    hidden = rows @ np.frombuffer(weights.raw_data, np.float32).reshape(4, 64)
    wanted = {"x": rows, "h": hidden, "t": np.tanh(hidden)}
    # Weights have their own ranges, and integers none.
    assert set(ranges.keys()) == set(wanted)
    for name, array in wanted.items():
        low, high = ranges[name].range_value
        np.testing.assert_allclose([low, high], [array.min(), array.max()], rtol=1e-5)


def test_a_sample_that_is_refused(tmp_path: Path) -> None:
    nodes = [faulty.node("MatMul", "x w", "y")]
    inputs, outputs = [faulty.tensor("x", ["n", "m"])], [faulty.tensor("y", ["n", 3])]
    path = tmp_path / "model.onnx"
    model = faulty.model(nodes, inputs, outputs, [faulty.weights("w", 4, 3)])
    path.write_bytes(model.SerializeToString())
    prepared = prepare(path, tmp_path, dynamic=False)
    with pytest.raises(RunRefusal):
        calibrate(prepared, samples(np.zeros((2, 5), np.float32)))


@pytest.mark.parametrize(
    ("gpus", "cpu", "quantised", "names"),
    [
        (0, "AMD EPYC", True, []),
        (0, "Intel(R) Xeon(R)", True, ["openvino"]),
        (1, "Intel(R) Xeon(R)", False, ["tensorrt-fp16"]),
        (2, "", True, ["tensorrt-fp16", "tensorrt-int8"]),
    ],
)
def test_accelerators(gpus: int, cpu: str, quantised: bool, names: list[str]) -> None:
    isa = Isa(model=cpu)
    found = list(accelerators([INPUT], gpus=gpus, isa=isa, max_batch=16, quantised=quantised))
    assert [item.name for item in found] == names
    for item in found:
        assert "not run here" in item.reason
        assert item.overlay


def test_profiles_of_dynamic_axes() -> None:
    (item,) = accelerators([INPUT], gpus=1, isa=Isa(), max_batch=16)
    entry = item.overlay["optimization"]["execution_accelerators"]  # type: ignore[index]  # a tree of JSON
    parameters = entry["gpu_execution_accelerator"][0]["parameters"]
    assert parameters["trt_profile_min_shapes"] == "x:1x4"
    assert parameters["trt_profile_max_shapes"] == "x:16x4"
    fixed = JobInput("x", DType.FP32, (1, 4), (1, 4))
    (item,) = accelerators([fixed], gpus=1, isa=Isa(), max_batch=16)
    assert "trt_profile_min_shapes" not in str(item.overlay)
