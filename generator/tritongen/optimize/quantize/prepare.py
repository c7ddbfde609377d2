"""What quantising needs first: opset, folded constants, a name for every operator."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritongen.optimize.child_jobs import StageRefusal
from tritongen.optimize.fixes.declarations import RAISED_OPSET, operator_types, set_opset
from tritongen.optimize.graph_execution import Level, optimise
from tritongen.optimize.libraries import onnx, onnxruntime
from tritongen.optimize.onnx_files import load, save
from tritongen.optimize.onnx_session import needs_data_file
from tritongen.optimize.rewritten_graph import Graph

DYNAMIC_TYPES = ("MatMul", "LSTM", "Attention", "EmbedLayerNormalization")
STATIC_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_DYNAMIC_SCALES = "DynamicQuantizeLinear"
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger")
# What the tools make of operators, in any domain.
_INTEGER = ("DequantizeLinear", "DynamicQuantize", "Integer", "QAttention", "QEmbed", "QLinear")


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
