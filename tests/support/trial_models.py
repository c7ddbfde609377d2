"""Small ONNX models with one property each, and their facts, for tests of the trial run."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritongen.model.evidence import Trial
from tritongen.model.facts import (
    FileRef,
    GraphShape,
    ModelFacts,
    ModelFormat,
    ModelVersion,
    OnnxFacts,
)
from tritongen.model.intent import ModelIntent
from tritongen.model.tensors import DType, TensorKind, TensorSpec
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.run_trial import run_trial
from tritongen.trial.warm_worker import WarmWorker

FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
Info = tuple[str, int, Sequence[int | str | None] | None]

_DTYPES = {
    TensorProto.FLOAT: DType.FP32,
    TensorProto.DOUBLE: DType.FP64,
    TensorProto.FLOAT16: DType.FP16,
    TensorProto.BFLOAT16: DType.BF16,
    TensorProto.INT64: DType.INT64,
    TensorProto.INT32: DType.INT32,
    TensorProto.UINT8: DType.UINT8,
    TensorProto.INT8: DType.INT8,
    TensorProto.BOOL: DType.BOOL,
    TensorProto.STRING: DType.BYTES,
}
_DYNAMIC = {"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}


def weights(name: str, *shape: int, seed: int = 0, scale: float = 0.5) -> onnx.TensorProto:
    """A float32 initialiser of normal values."""
    array = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    return numpy_helper.from_array(array, name)


def constant(name: str, value: object, dtype: str = "int64") -> onnx.TensorProto:
    """An initialiser of given values."""
    return numpy_helper.from_array(np.asarray(value, dtype=dtype), name)


def node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """A node; names separated by blanks, ``_`` for an input left out."""
    names = ["" if item == "_" else item for item in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


def model(
    nodes: Iterable[onnx.NodeProto],
    inputs: Sequence[Info],
    outputs: Sequence[Info],
    initializers: Iterable[onnx.TensorProto] = (),
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of one graph; not checked, since some tests want a wrong one."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*info) for info in inputs],
        [helper.make_tensor_value_info(*info) for info in outputs],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value >= 0 else None
    return dim.dim_param or None


def _spec(info: onnx.ValueInfoProto) -> TensorSpec:
    if not info.type.HasField("tensor_type"):
        return TensorSpec(info.name, None, None, TensorKind.SEQUENCE, "sequence")
    tensor = info.type.tensor_type
    shape = tuple(map(_dim, tensor.shape.dim)) if tensor.HasField("shape") else None
    return TensorSpec(info.name, _DTYPES.get(tensor.elem_type), shape)


def _critical_path(graph: onnx.GraphProto) -> int:
    depth: dict[str, int] = {}
    for item in graph.node:
        own = 1 + max((depth.get(name, 0) for name in item.input), default=0)
        depth |= dict.fromkeys(item.output, own)
    return max(depth.values(), default=0)


def facts_of(proto: onnx.ModelProto, path: str, size: int = 0) -> ModelFacts:
    """Facts as a reader would state them, as far as the trial needs them."""
    graph = proto.graph
    held = {item.name for item in graph.initializer}
    ops = [item.op_type for item in graph.node]
    elements = (item.data_type for item in graph.initializer)
    kinds = [_DTYPES[kind].value for kind in elements if kind in _DTYPES]
    return ModelFacts(
        name=Path(path).stem,
        path=path,
        format=ModelFormat.ONNX,
        versions=(ModelVersion(1, (FileRef(path, "model.onnx", size),)),),
        inputs=tuple(_spec(item) for item in graph.input if item.name not in held),
        outputs=tuple(_spec(item) for item in graph.output),
        weight_bytes=size,
        precisions=tuple((kind, len(list(group))) for kind, group in itertools.groupby(kinds)),
        graph=GraphShape(len(ops), _critical_path(graph), 1),
        onnx=OnnxFacts(
            proto.ir_version,
            (("ai.onnx", 17),),
            quantized_operators=tuple((op, 1) for op in ops if "Quantize" in op),
            dynamic_quantization=any(op in _DYNAMIC for op in ops),
        ),
    )


def try_model(
    proto: onnx.ModelProto,
    root: Path,
    intent: ModelIntent | None = None,
    content: bytes | None = None,
    worker: WarmWorker | None = None,
    **options: object,
) -> Trial:
    """Write the model into `root` and run its trial; costs are not measured unless asked for.

    With `content`, these bytes are written under the facts of the model. With a worker it runs in a
    fork of that.
    """
    data = proto.SerializeToString() if content is None else content
    (root / "m.onnx").write_bytes(data)
    settings: Mapping[str, object] = {"cores": 1, "time_budget_s": 0.0, **options}
    return run_trial(
        facts_of(proto, "m.onnx", len(data)),
        root,
        intent or ModelIntent(),
        TrialOptions(**settings),  # type: ignore[arg-type]  (options pass through as they are)
        worker=worker,
    )


def mlp(batch: int | str | None = "batch", dtype: int = FLOAT) -> onnx.ModelProto:
    """Two layers: independent rows."""
    kind = {FLOAT: np.float32, TensorProto.FLOAT16: np.float16}[dtype]
    held = [
        numpy_helper.from_array(numpy_helper.to_array(item).astype(kind), item.name)
        for item in (weights("w", 6, 8), weights("v", 8, 3, seed=1))
    ]
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r v", "y")]
    return model(nodes, [("x", dtype, [batch, 6])], [("y", dtype, [batch, 3])], held)


def conv() -> onnx.ModelProto:
    """A small convolutional net on images of any size."""
    nodes = [
        node("Conv", "x w", "c", kernel_shape=[3, 3], strides=[8, 8]),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "p"),
        node("Flatten", "p", "y"),
    ]
    return model(
        nodes,
        [("x", FLOAT, ["N", 3, "height", "width"])],
        [("y", FLOAT, ["N", 4])],
        [weights("w", 4, 3, 3, 3)],
    )


def branches(count: int = 4) -> onnx.ModelProto:
    """Layers side by side, added up at the end."""
    names = [f"b{index}" for index in range(count)]
    nodes = [node("MatMul", f"x w{index}", name) for index, name in enumerate(names)]
    held = [weights(f"w{index}", 6, 3, seed=index) for index in range(count)]
    nodes.append(node("Sum", " ".join(names), "y"))
    return model(nodes, [("x", FLOAT, ["N", 6])], [("y", FLOAT, ["N", 3])], held)


def along_axis_0(op: str, result: int = FLOAT, **attributes: object) -> onnx.ModelProto:
    """One operator on [N, 6], most of them along axis 0; the output's rank is not declared."""
    held = [constant("axis", 0)] if op == "CumSum" else []
    nodes = [node(op, "x axis" if held else "x", "y", **attributes)]
    return model(nodes, [("x", FLOAT, ["N", 6])], [("y", result, None)], held)


def time_first(kind: str) -> onnx.ModelProto:
    """A GRU or LSTM over axis 0 of [time, features], without batch axis."""
    gates = {"GRU": 3, "LSTM": 4}[kind]
    held = [
        weights("w", 1, gates * 5, 6),
        weights("r", 1, gates * 5, 5, seed=1),
        constant("middle", [1]),
        constant("out", [-1, 5]),
    ]
    nodes = [
        node("Unsqueeze", "x middle", "s"),
        node(kind, "s w r", "h", hidden_size=5),
        node("Reshape", "h out", "y"),
    ]
    return model(nodes, [("x", FLOAT, ["time", 6])], [("y", FLOAT, ["time", 5])], held)


def minus_batch_mean() -> onnx.ModelProto:
    """Each row less a hundredth of the mean of all rows: neighbours matter a little."""
    nodes = [
        node("ReduceMean", "x", "m", axes=[0], keepdims=1),
        node("Mul", "m k", "s"),
        node("Sub", "x s", "y"),
    ]
    return model(
        nodes,
        [("x", FLOAT, ["N", 6])],
        [("y", FLOAT, ["N", 6])],
        [constant("k", 0.01, "float32")],
    )


def dynamically_quantised() -> onnx.ModelProto:
    """One layer whose activations are quantised with a scale taken from the whole batch."""
    array = np.random.default_rng(0).integers(0, 255, (6, 3)).astype(np.uint8)
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z wz", "i"),
        node("Cast", "i", "f", to=FLOAT),
        node("Mul", "f s", "y"),
    ]
    held = [numpy_helper.from_array(array, "w"), constant("wz", 128, "uint8")]
    return model(nodes, [("x", FLOAT, ["N", 6])], [("y", FLOAT, ["N", 3])], held)


def embedding(rows: int) -> onnx.ModelProto:
    """A table with few rows: ids beyond it are refused."""
    return model(
        [node("Gather", "table ids", "y")],
        [("ids", INT64, ["batch", "seq"])],
        [("y", FLOAT, ["batch", "seq", 4])],
        [weights("table", rows, 4)],
    )


def endless() -> onnx.ModelProto:
    """A loop whose condition never becomes false."""
    body = helper.make_graph(
        [node("Identity", "on", "still_on"), node("Add", "v v", "w")],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, ["N", 2]),
        ],
        [
            helper.make_tensor_value_info("still_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, ["N", 2]),
        ],
    )
    nodes = [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)]
    return model(
        nodes,
        [("x", FLOAT, ["N", 2])],
        [("y", FLOAT, ["N", 2])],
        [constant("true", True, "bool")],
    )


def from_values(text: str, result: str) -> list[onnx.NodeProto]:
    """Nodes that give the initialiser `text` as `result`, by way of the input `x`.

    The runtime can neither fold nor infer what depends on an input's values.
    """
    return [
        node("ReduceMax", "x", f"{result}_max", keepdims=0),
        node("Cast", f"{result}_max", f"{result}_int", to=INT64),
        node("Mul", f"{result}_int zero", f"{result}_zero"),
        node("Add", f"{result}_zero {text}", result),
    ]


def hungry(count: int, times: int = 1) -> onnx.ModelProto:
    """Fills `times` tensors of `count` floats each, all alive at the same time."""
    fill = numpy_helper.from_array(np.array([1.5], np.float32), "fill")
    nodes, parts = [], []
    for index in range(times):
        nodes += from_values("size", f"n{index}")
        nodes.append(node("ConstantOfShape", f"n{index}", f"b{index}", value=fill))
        parts.append(f"b{index}")
    nodes += [node("Concat", " ".join(parts), "all", axis=0), node("ReduceSum", "all", "s")]
    nodes.append(node("Add", "x s", "y"))
    return model(
        nodes,
        [("x", FLOAT, ["N", 2])],
        [("y", FLOAT, None)],
        [constant("size", [count]), constant("zero", 0)],
    )


def two_makers(name: str) -> onnx.ModelProto:
    """Two nodes that give one tensor."""
    nodes = [node("Relu", "x", name), node("Abs", "x", name)]
    return model(nodes, [("x", FLOAT, ["n", 3])], [(name, FLOAT, ["n", 3])])


def unloadable() -> Mapping[str, tuple[onnx.ModelProto, str]]:
    """Models that ONNX Runtime does not load for what is in them, each with its words."""
    row, result = [("x", FLOAT, ["n", 3])], [("y", FLOAT, None)]
    cell = node("GRU", "x w r", "y", hidden_size=4, activations=["Nope", "Tanh"])
    cell_weights = [weights("w", 1, 12, 3), weights("r", 1, 12, 4)]
    return {
        "twice": (two_makers("y"), "Duplicate definition of name (y)"),
        "types": (
            model([node("Add", "x k", "y")], [*row, ("k", INT64, ["n", 3])], result),
            "Type Error: Type parameter (T) of Optype (Add)",
        ),
        "shapes": (
            model([node("MatMul", "x w", "y")], row, result, [weights("w", 5, 3)]),
            "[ShapeInferenceError] Incompatible dimensions",
        ),
        "attribute": (
            model([cell], [("x", FLOAT, ["n", 1, 3])], result, cell_weights),
            "Exception during initialization: ",
        ),
        "operator": (model([node("Nope", "x", "y")], row, result), "No Op registered for Nope"),
        "input": (model([node("Add", "x k", "y")], row, result), "Node input 'k' is not"),
    }
