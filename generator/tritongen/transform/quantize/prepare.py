"""What quantising needs first: opset, folded constants, a name for every operator."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritongen.transform.fixes.versions import RAISED_OPSET, operator_types, set_opset
from tritongen.transform.graph import Graph
from tritongen.transform.offline import Level, optimise
from tritongen.transform.storage import load, save

DYNAMIC_TYPES = ("MatMul", "Gemm", "LSTM", "Attention", "EmbedLayerNormalization")
STATIC_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_DYNAMIC_SCALES = "DynamicQuantizeLinear"
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger")


class CannotQuantise(Exception):  # noqa: N818  (a verdict on its way up, not a failure)
    """There is nothing to quantise, or no way to do it; the message says why."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model ready to be quantised.

    Attributes:
        path: main file.
        counts: operators by type.
        names: names of the operators by type, in the graph's order.
    """

    path: Path
    counts: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]

    def nodes(self, types: tuple[str, ...]) -> list[str]:
        """Names of the operators of some types."""
        return [name for kind in types for name in self.names.get(kind, ())]


def prepare(source: Path, work: Path) -> Prepared:
    """Raise the opset, fold constants and name every operator, in files of the folder.

    Raises:
        CannotQuantise: it is quantised already.
        CannotFix: the opset cannot be raised.
        RunRefusal: ONNX Runtime does not load it.
    """
    model = load(source)
    graph = Graph(model.proto)
    types = Counter(operator_types(graph.proto.graph, ""))
    if any(types[name] for name in _QUANTISED) and not types[_DYNAMIC_SCALES]:
        raise CannotQuantise("the model is quantised already")
    if graph.opset() < RAISED_OPSET:
        set_opset(graph, RAISED_OPSET)
    graph.forget_shapes()
    raised = work / "raised.onnx"
    save(model, raised)
    folded = optimise(raised, work / "folded.onnx", Level.BASIC)
    return _named(folded, work / "prepared.onnx")


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
    return Prepared(
        target,
        {kind: len(found) for kind, found in names.items()},
        {kind: tuple(found) for kind, found in names.items()},
    )


def has_dynamic_scales(path: Path) -> bool:
    """Whether scales are computed from the request's data by operators of their own."""
    return _DYNAMIC_SCALES in set(operator_types(load(path).proto.graph, ""))
