"""Dynamic scales fixed by calibration: a row then no longer changes with its neighbours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.onnx_files import load, save
from tritongen.optimize.onnx_session import OrtRunner
from tritongen.optimize.quantize.prepare import CannotQuantise
from tritongen.optimize.rewritten_graph import Graph, tensor_info
from tritongen.optimize.user_samples import Samples

_OPERATOR = "DynamicQuantizeLinear"
_STEPS = 255


def fix_scales(source: Path, target: Path, samples: Samples, work: Path) -> Path:
    """Replace every operator that computes a scale by one with the scale of the samples.

    Args:
        source: a dynamically quantised model.
        target: file to write.
        samples: whose ranges are taken.
        work: for an intermediate file.

    Raises:
        CannotQuantise: there is no such operator.
        RunRefusal: the model refuses a sample.
    """
    model = load(source)
    graph = Graph(model.proto)
    nodes = [node for node in graph.nodes if node.op_type == _OPERATOR]
    if not nodes:
        raise CannotQuantise("no scale is computed by an operator of its own")
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
