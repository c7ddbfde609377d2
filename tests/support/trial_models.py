"""Small ONNX models with one property each, and their facts, for tests of the trial run."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritongen.domain.evidence import Trial
from tritongen.domain.facts import (
    FileRef,
    GraphShape,
    ModelFacts,
    ModelFormat,
    ModelVersion,
    OnnxFacts,
)
from tritongen.domain.intent import ModelIntent
from tritongen.domain.tensors import DType, TensorKind, TensorSpec
from tritongen.inspection.trial import TrialOptions, run_trial

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
        graph=GraphShape(len(ops), len(ops), 1),
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
    **options: object,
) -> Trial:
    """Write the model into `root` and run its trial; costs are not measured unless asked for."""
    data = proto.SerializeToString()
    (root / "m.onnx").write_bytes(data)
    settings: Mapping[str, object] = {"cores": 1, "time_budget_s": 0.0, **options}
    return run_trial(
        facts_of(proto, "m.onnx", len(data)),
        root,
        intent or ModelIntent(),
        TrialOptions(**settings),  # type: ignore[arg-type]  (options pass through as they are)
    )
