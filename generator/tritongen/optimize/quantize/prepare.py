"""What quantising needs first: the model in a form that the tools take, and ranges of its tensors.

onnxruntime's own calibrator holds several copies of the model while it prepares; here the weights
stay in their file, and the runtime returns two numbers a tensor instead of the tensor.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritongen.optimize.child_jobs import StageRefusal
from tritongen.optimize.fixes.declarations import RAISED_OPSET, operator_types, set_opset
from tritongen.optimize.graph_execution import Level, optimise
from tritongen.optimize.libraries import Proto, onnx, onnxruntime
from tritongen.optimize.onnx_files import load, save
from tritongen.optimize.onnx_session import OrtRunner, RunSettings, needs_data_file
from tritongen.optimize.rewritten_graph import Graph, is_tensor, tensor_info
from tritongen.optimize.user_samples import Samples

DYNAMIC_TYPES = ("MatMul", "LSTM", "Attention", "EmbedLayerNormalization")
STATIC_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_DYNAMIC_SCALES = "DynamicQuantizeLinear"
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger")
# What the tools make of operators, in any domain.
_INTEGER = ("DequantizeLinear", "DynamicQuantize", "Integer", "QAttention", "QEmbed", "QLinear")
# onnxruntime's TensorsData, passed on as it is.
Ranges = Any
_OPERATOR = "DynamicQuantizeLinear"
_STEPS = 255


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model ready to be quantised.

    Attributes:
        path: main file.
        names: names of the operators by type, in the graph's order.
    """

    path: Path
    names: Mapping[str, list[str]]

    def nodes(self, types: tuple[str, ...]) -> list[str]:
        """Names of the operators of some types."""
        return [name for kind in types for name in self.names.get(kind, ())]


def prepare(source: Path, work: Path, *, dynamic: bool) -> Prepared:
    """Raise the opset, fold constants and name every operator, in files of the folder.

    Args:
        source: main file of the model.
        work: an existing folder.
        dynamic: for dynamic quantisation, which knows products and no Gemm.

    Raises:
        StageRefusal: it is quantised already.
        CannotFix: the opset cannot be raised.
        RunRefusal: ONNX Runtime does not load it.
    """
    model = load(source)
    graph = Graph(model.proto)
    types = Counter(operator_types(graph.proto.graph, ""))
    if any(types[name] for name in _QUANTISED) and not types[_DYNAMIC_SCALES]:
        raise StageRefusal("the model is quantised already")
    if graph.opset() < RAISED_OPSET:
        set_opset(graph, RAISED_OPSET)
    graph.forget_shapes()
    raised = _place(work, "raised")
    save(model, raised)
    without = ("MatMulAddFusion",) if dynamic else ()
    folded = optimise(raised, _place(work, "folded"), Level.BASIC, without)
    if dynamic and "Gemm" in set(operator_types(load(folded).proto.graph, "")):
        folded = _without_gemm(folded, _place(work, "products"))
    # Beside the model that it is made of: a link to its data file is refused by onnx's reader.
    return _named(folded, folded.with_name("prepared.onnx"))


def _place(work: Path, name: str) -> Path:
    """A file in a folder of its own: tools overwrite data files, and some are links."""
    folder = work / name
    folder.mkdir()
    return folder / "model.onnx"


def _without_gemm(source: Path, target: Path) -> Path:
    """Every Gemm as a product and a sum, by onnxruntime's own tool."""
    library = onnx()
    onnxruntime()
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = ONNXModel(library.load(os.fspath(source)))
    model.replace_gemm_with_matmul()
    model.save_model_to_file(os.fspath(target), needs_data_file(source))
    return target


def _named(source: Path, target: Path) -> Prepared:
    model = load(source)
    graph = Graph(model.proto)
    seen: set[str] = set()
    names: dict[str, list[str]] = {}
    for index, node in enumerate(graph.nodes):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
        seen.add(node.name)
        names.setdefault(node.op_type, []).append(node.name)
    save(model, target)
    return Prepared(target, names)


def is_quantised(path: Path) -> bool:
    """Whether any operator works on integers that stand for numbers."""
    return any(word in node.op_type for node in load(path).proto.graph.node for word in _INTEGER)


def calibrate(prepared: Prepared, samples: Samples, threads: int = 1) -> Ranges:
    """Ranges of every float tensor that an operator reads or writes.

    Args:
        prepared: the model.
        samples: one run each.
        threads: to run with.

    Raises:
        RunRefusal: the model refuses a sample.
    """
    # Beside the model, so that its data file is shared without a link, which onnx's reader refuses.
    path = prepared.path.with_name("watched.onnx")
    kinds = _floats(Graph(load(prepared.path).proto))
    settings = RunSettings(threads=threads, optimize=False)
    return _as_tensors_data(_bounds(prepared.path, path, kinds, samples, settings))


def _bounds(
    source: Path, path: Path, kinds: Mapping[str, int], samples: Samples, settings: RunSettings
) -> dict[str, tuple[Any, Any]]:
    """Least and greatest value of tensors, by name; the model that tells them goes to `path`."""
    model = load(source)
    graph = Graph(model.proto)
    watched = {name: _watch(graph, name, kind) for name, kind in sorted(kinds.items())}
    save(model, path)
    runner = OrtRunner(path, settings)
    bounds: dict[str, tuple[Any, Any]] = {}
    for index in range(samples.rows):
        values = runner.run(samples.run(index))
        for name, (least, most) in watched.items():
            low, high = (np.asarray(values[item])[()] for item in (least, most))
            seen = bounds.get(name, (low, high))
            bounds[name] = (np.fmin(seen[0], low), np.fmax(seen[1], high))
    return bounds


def _floats(graph: Graph) -> Mapping[str, int]:
    """Element type of every float tensor that is no weight, by name."""
    library = onnx()
    inferred = library.shape_inference.infer_shapes(graph.proto)
    wanted = {library.TensorProto.FLOAT, library.TensorProto.FLOAT16}
    infos = (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input)
    types = {info.name: info.type.tensor_type.elem_type for info in infos if is_tensor(info)}
    return {
        name: types[name]
        for name in _touched(graph)
        if types.get(name) in wanted and not graph.is_constant(name)
    }


def _touched(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield from (name for name in (*node.input, *node.output) if name)


def _watch(graph: Graph, name: str, kind: int) -> tuple[str, str]:
    """Outputs with the least and the greatest value of a tensor."""
    found = []
    for op in ("ReduceMin", "ReduceMax"):
        output = graph.fresh(f"{name}_{op}")
        node: Proto = graph.make(op, [name], [output], keepdims=0)
        graph.proto.graph.node.append(node)
        graph.proto.graph.output.append(tensor_info(output, kind, ()))
        found.append(output)
    return found[0], found[1]


def _as_tensors_data(bounds: Mapping[str, tuple[Any, Any]]) -> Ranges:
    onnxruntime()
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    return TensorsData(
        CalibrationMethod.MinMax,
        {name: (np.asarray(low), np.asarray(high)) for name, (low, high) in bounds.items()},
    )


def fix_scales(source: Path, target: Path, samples: Samples, work: Path) -> Path:
    """Replace every operator that computes a scale by one with the scale of the samples.

    Args:
        source: a dynamically quantised model.
        target: file to write.
        samples: whose ranges are taken.
        work: for an intermediate file.

    Raises:
        StageRefusal: there is no such operator.
        RunRefusal: the model refuses a sample.
    """
    model = load(source)
    graph = Graph(model.proto)
    nodes = [node for node in graph.nodes if node.op_type == _OPERATOR]
    if not nodes:
        raise StageRefusal("no scale is computed by an operator of its own")
    kinds = dict.fromkeys((node.input[0] for node in nodes), int(onnx().TensorProto.FLOAT))
    ranges = _bounds(source, work / "opened.onnx", kinds, samples, RunSettings())
    for node in nodes:
        low, high = ranges[node.input[0]]
        # As the operator counts them: with 0.
        _fix(graph, node, (min(0.0, float(low)), max(0.0, float(high))))
    save(model, target)
    return target


def _fix(graph: Graph, node: Proto, bounds: tuple[float, float]) -> None:
    low, high = bounds
    scale = np.float32((high - low) / _STEPS) or np.float32(1.0)
    zero = int(np.clip(round(-low / float(scale)), 0, _STEPS))
    quantised, scale_name, zero_name = node.output
    held = [
        graph.add_constant(scale, scale_name or "scale", "float32"),
        graph.add_constant(zero, zero_name or "zero_point", "uint8"),
    ]
    graph.insert([graph.make("QuantizeLinear", [node.input[0], *held], [quantised])], before=node)
    graph.remove(node)
    for old, new in zip((scale_name, zero_name), held, strict=True):
        if old:
            graph.redirect(old, new)
