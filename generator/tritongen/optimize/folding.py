"""Constant folding: operators whose inputs are all constants become their result.

It makes shapes visible that an exporter left to be computed. Large results are left alone: they
would cost more space than they save time.
"""

import numpy as np

from tritongen.model.samples import Array
from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.onnx_files import LARGE_BYTES
from tritongen.optimize.rewritten_graph import Graph, subgraphs

# Their results differ from run to run, or stand for something else than a value.
_NEVER = frozenset(
    {
        "Constant",
        "DequantizeLinear",
        "Multinomial",
        "QuantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
    }
)


def fold_constants(graph: Graph) -> int:
    """Replace constant operators of the standard domain by their results; returns how many."""
    folded = 0
    for node in graph.topological():
        inputs = {name: graph.constant(name) for name in node.input if name}
        if not _foldable(node) or not inputs or any(value is None for value in inputs.values()):
            continue
        held = {name: value for name, value in inputs.items() if value is not None}
        results = _evaluate(graph, node, held)
        if results is None or any(_bytes(value) > LARGE_BYTES for value in results.values()):
            continue
        for name, value in results.items():
            tensor = onnx().numpy_helper.from_array(np.ascontiguousarray(value), name)
            graph.proto.graph.initializer.append(tensor)
        graph.remove(node)
        folded += 1
    return folded


def _foldable(node: Proto) -> bool:
    return (
        node.domain in {"", "ai.onnx"}
        and node.op_type not in _NEVER
        and not any(True for _ in subgraphs(node))
    )


def _bytes(value: Array) -> int:
    return int(value.nbytes)


def _evaluate(graph: Graph, node: Proto, inputs: dict[str, Array]) -> dict[str, Array] | None:
    """The node's results by onnx's reference; None where it has none for this operator."""
    from onnx.reference import ReferenceEvaluator

    library = onnx()
    infos = [
        library.helper.make_tensor_value_info(
            name, library.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in inputs.items()
        if value.dtype != object
    ]
    names = [name for name in node.output if name]
    if len(infos) != len(inputs) or any(graph.is_output(name) for name in names):
        return None
    single = library.helper.make_graph([node], "single", infos, [])
    single.output.extend(library.ValueInfoProto(name=name) for name in names)
    model = library.helper.make_model(
        single, opset_imports=[library.helper.make_opsetid("", max(1, graph.opset()))]
    )
    try:
        results = ReferenceEvaluator(model).run(names, inputs)
    except Exception:  # noqa: BLE001  (the reference lacks operators, and raises all kinds)
        return None
    if not all(isinstance(value, np.ndarray | np.generic) for value in results):
        return None
    return dict(zip(names, map(np.asarray, results), strict=True))
