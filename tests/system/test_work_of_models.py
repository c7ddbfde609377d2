"""Operations and bytes of ten real models, against the onnx package's shape inference."""

import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, shape_inference

from support.onnx_suite import DATA
from tritongen.trial.onnx_runtime import OnnxRuntime
from tritongen.trial.operator_work import total

DEMO = Path(__file__).parents[2] / "demo"
LIGHT = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
    "squeezenet",
)  # fmt: skip
Known = dict[str, tuple[int, list[int]]]


def demo(name: str) -> Path:
    path = DEMO / "models" / name / "model.onnx"
    if not path.is_file():
        subprocess.run([sys.executable, DEMO / "fetch.py"], check=True)
    return path


def light(name: str) -> Path:
    return DATA / "light" / f"light_{name}.onnx"


def feeds(path: Path, sizes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    kinds = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return {
        item.name: np.ones(sizes.get(item.name) or item.shape, kinds[item.type])
        for item in session.get_inputs()
    }  # fmt: skip


REAL = {
    "digits": (lambda: demo("digits"), {"X": (2, 64)}),
    "magika": (lambda: demo("magika"), {"bytes": (2, 2048)}),
    "orientation": (lambda: demo("orientation"), {"x": (2, 3, 224, 224)}),
    **{name: (partial(light, name), {}) for name in LIGHT},
}


@pytest.mark.parametrize("name", REAL)
def test_ten_real_models_agree_with_shape_inference(name, tmp_path):
    made, sizes = REAL[name]
    path = made()
    inputs = feeds(path, sizes)
    work = total(OnnxRuntime().operators(path, inputs))
    flops, moved = inferred(path, inputs, tmp_path / "optimised.onnx")
    assert work.matrix_flops == pytest.approx(flops, rel=0.05)
    assert work.bytes == pytest.approx(moved, rel=0.05)


def inferred(path: Path, inputs: dict[str, np.ndarray], optimised: Path) -> tuple[float, float]:
    """Matrix operations and bytes by the shapes that the onnx package infers."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(optimised)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    proto = onnx.load(optimised)
    proto.ir_version = 8  # before 4, weights had to be inputs as well
    for item in proto.graph.input:
        if item.name in inputs:
            item.CopyFrom(
                helper.make_tensor_value_info(
                    item.name, item.type.tensor_type.elem_type, inputs[item.name].shape
                )
            )
    for item in proto.graph.output:
        item.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    for node in proto.graph.node:
        if node.op_type == "Scaler":  # the package infers nothing of it
            sizes = inputs[node.input[0]].shape
            known = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, sizes)
            proto.graph.value_info.append(known)
    proto = shape_inference.infer_shapes(proto, data_prop=True)
    return _sums(proto.graph)


def _sums(graph: onnx.GraphProto) -> tuple[float, float]:
    known: Known = {}
    for item in (*graph.input, *graph.output, *graph.value_info):
        kind = item.type.tensor_type
        known[item.name] = (kind.elem_type, [dim.dim_value for dim in kind.shape.dim])
    for item in graph.initializer:
        known[item.name] = (item.data_type, list(item.dims))
    flops = moved = 0.0
    for item in graph.node:
        if item.op_type not in FREE and not _indices(item, known):
            flops += _matrix(item, known)
            moved += _moved(item, known)
    return flops, moved


FREE = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Shape", "Identity", "Dropout"}


def _indices(item: onnx.NodeProto, known: Known) -> bool:
    kinds = [known[name] for name in item.output if name in known]
    return bool(kinds) and all(
        kind == TensorProto.INT64 and math.prod(dims) <= 8 for kind, dims in kinds
    )


def _bytes(name: str, known: Known) -> float:
    kind, dims = known.get(name, (TensorProto.FLOAT, [0]))
    return math.prod(dims) * helper.tensor_dtype_to_np_dtype(kind).itemsize


def _moved(item: onnx.NodeProto, known: Known) -> float:
    written = sum(_bytes(name, known) for name in item.output if name)
    moved = written + sum(_bytes(name, known) for name in item.input if name)
    return min(moved, 2 * written) if item.op_type in {"Gather", "Slice"} else moved


def _matrix(item: onnx.NodeProto, known: Known) -> float:
    attributes = {one.name: helper.get_attribute_value(one) for one in item.attribute}
    dims = [known.get(name, (0, []))[1] for name in item.input]
    out = math.prod(known[item.output[0]][1]) if item.output[0] in known else 0
    if item.op_type in {"Conv", "FusedConv"}:
        groups = attributes.get("group", 1)
        channels = dims[0][1] // groups
        if groups > 1 and channels == 1:
            return 0.0  # depthwise: each channel by itself is no matrix product
        return 2.0 * out * channels * math.prod(attributes["kernel_shape"])
    if item.op_type == "Gemm":
        return 2.0 * out * dims[0][0 if attributes.get("transA") else 1]
    if item.op_type == "MatMul":
        return 2.0 * out * dims[1][-2]
    return 0.0
