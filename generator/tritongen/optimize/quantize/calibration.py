"""Ranges of tensors over the calibration samples, and scales that are fixed by them.

onnxruntime's own calibrator holds several copies of the model while it prepares; here the weights
stay in their file, and the runtime returns two numbers a tensor instead of the tensor.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tritongen.optimize.child_jobs import StageRefusal
from tritongen.optimize.libraries import Proto, onnx, onnxruntime
from tritongen.optimize.onnx_files import load, save
from tritongen.optimize.onnx_session import OrtRunner, RunSettings
from tritongen.optimize.quantize.prepare import Prepared
from tritongen.optimize.rewritten_graph import Graph, is_tensor, tensor_info
from tritongen.optimize.user_samples import Samples

# onnxruntime's TensorsData, passed on as it is.
Ranges = Any
_OPERATOR = "DynamicQuantizeLinear"
_STEPS = 255


def calibrate(prepared: Prepared, samples: Samples, threads: int = 1) -> Ranges:
    """Ranges of every float tensor that an operator reads or writes.

    Args:
        prepared: the model.
        samples: one run each.
        threads: to run with.

    Raises:
        RunRefusal: the model refuses a sample.
    """
    model = load(prepared.path)
    graph = Graph(model.proto)
    watched = {name: _watch(graph, name, kind) for name, kind in sorted(_floats(graph).items())}
    # Beside the model, so that its data file is shared without a link, which onnx's reader refuses.
    path = prepared.path.with_name("watched.onnx")
    save(model, path)
    runner = OrtRunner(path, RunSettings(threads=threads, optimize=False))
    bounds: dict[str, tuple[np.floating[Any], np.floating[Any]]] = {}
    for index in range(samples.rows):
        values = runner.run(samples.run(index))
        for name, (least, most) in watched.items():
            low, high = (np.asarray(values[item])[()] for item in (least, most))
            seen = bounds.get(name, (low, high))
            bounds[name] = (np.fmin(seen[0], low), np.fmax(seen[1], high))
    return _as_tensors_data(bounds)


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
    ranges = _ranges(source, nodes, samples, work)
    for node in nodes:
        _fix(graph, node, ranges[node.input[0]])
    save(model, target)
    return target


def _ranges(
    source: Path, nodes: Sequence[Proto], samples: Samples, work: Path
) -> Mapping[str, tuple[float, float]]:
    """Least and greatest value of each quantised tensor, as the operator counts them: with 0."""
    model = load(source)
    names = sorted({node.input[0] for node in nodes})
    declared = {info.name for info in model.proto.graph.output}
    float_ = onnx().TensorProto.FLOAT
    model.proto.graph.output.extend(
        tensor_info(name, float_, None) for name in names if name not in declared
    )
    opened = work / "opened.onnx"
    save(model, opened)
    runner = OrtRunner(opened)
    ranges = dict.fromkeys(names, (0.0, 0.0))
    for index in range(samples.rows):
        values = runner.run(samples.run(index))
        for name in names:
            array = np.asarray(values[name])
            low, high = ranges[name]
            if array.size:
                ranges[name] = (min(low, float(array.min())), max(high, float(array.max())))
    return ranges


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
