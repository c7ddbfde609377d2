"""Least and greatest value of every tensor over the calibration samples.

onnxruntime's own calibrator holds several copies of the model while it prepares; here the weights
stay in their file, and the runtime returns two numbers a tensor instead of the tensor.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tritongen.optimize.libraries import Proto, onnx, onnxruntime
from tritongen.optimize.onnx_files import load, save
from tritongen.optimize.onnx_session import OrtRunner, RunSettings
from tritongen.optimize.quantize.prepare import Prepared
from tritongen.optimize.rewritten_graph import Graph, is_tensor, tensor_info
from tritongen.optimize.user_samples import Samples

# onnxruntime's TensorsData, passed on as it is.
Ranges = Any


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
