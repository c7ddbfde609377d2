"""ONNX models for the tests of inspection, and their facts as the onnx package tells them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING

PACKAGE_DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"

# Types whose onnx name is not Triton's, by number.
TRITON_NAMES = {
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.STRING: "BYTES",
}


def package_models() -> list[Path]:
    """Every model in the onnx wheel's test data."""
    return sorted(PACKAGE_DATA.rglob("*.onnx"))


def value(name: str, elem_type: int = FLOAT, shape: Sequence[int | str | None] | None = ("n", 3)):
    """One input or output; shape None leaves the rank undeclared."""
    return helper.make_tensor_value_info(name, elem_type, shape)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializer: Sequence[TensorProto] = (),
    *,
    opset: int = 17,
    ir_version: int = 8,
    domains: Sequence[tuple[str, int]] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> ModelProto:
    """A model with one graph."""
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*pair) for pair in domains)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions)
    )


def relu(
    shape: Sequence[int | str | None] | None = ("n", 3), elem_type: int = FLOAT, **kwargs
) -> ModelProto:
    """y = relu(x)."""
    node = helper.make_node("Relu", ["x"], ["y"])
    return model([node], [value("x", elem_type, shape)], [value("y", elem_type, shape)], **kwargs)


def tensor(
    name: str, dims: Sequence[int], *, raw: bytes | None = None, elem_type: int = FLOAT
) -> TensorProto:
    """A tensor of zeros, or of the given bytes whether they fit or not."""
    found = TensorProto(name=name, data_type=elem_type, dims=dims)
    size = helper.tensor_dtype_to_np_dtype(elem_type).itemsize
    for dim in dims:
        size *= dim
    found.raw_data = bytes(size) if raw is None else raw
    return found


def external(name: str, dims: Sequence[int], location: str, **entries: int) -> TensorProto:
    """A FLOAT tensor whose content lies in another file."""
    found = TensorProto(name=name, data_type=FLOAT, dims=dims)
    found.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **entries}.items():
        found.external_data.add(key=key, value=str(text))
    return found


def with_weights(*weights: TensorProto) -> ModelProto:
    """y = x + w0 + w1 …"""
    names = ["x", *(f"s{index}" for index in range(1, len(weights))), "y"]
    nodes = [
        helper.make_node("Add", [names[index], weight.name], [names[index + 1]])
        for index, weight in enumerate(weights)
    ]
    return model(nodes, [value("x")], [value("y")], weights)


def save(message: ModelProto | bytes, path: Path) -> Path:
    """Write a model, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(message if isinstance(message, bytes) else message.SerializeToString())
    return path


# What onnx itself says of a model.


def declared(info: onnx.ValueInfoProto) -> tuple[str, str, tuple[int | str | None, ...] | None]:
    """Name, element type (empty for what is no dense tensor) and shape."""
    if info.type.WhichOneof("value") != "tensor_type":
        return info.name, "", None
    found = info.type.tensor_type
    shape = None
    if found.HasField("shape"):
        shape = tuple(
            dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else None)
            for dim in found.shape.dim
        )
    name = TensorProto.DataType.Name(found.elem_type) if found.elem_type else ""
    return info.name, TRITON_NAMES.get(found.elem_type, name), shape


def inputs(message: ModelProto) -> list[onnx.ValueInfoProto]:
    """Graph inputs that no initialiser stands for."""
    names = {item.name for item in message.graph.initializer}
    names |= {item.values.name for item in message.graph.sparse_initializer}
    return [info for info in message.graph.input if info.name not in names]


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and its sub-graphs."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from graphs(attribute.g)
            for inner in attribute.graphs:
                yield from graphs(inner)


def operator_counts(message: ModelProto) -> Counter[str]:
    """Operators of the main graph and its sub-graphs, by type."""
    return Counter(node.op_type for graph in graphs(message.graph) for node in graph.node)


def weights(message: ModelProto) -> Iterator[TensorProto]:
    """Initialisers and constants of the main graph, its sub-graphs and functions."""
    for graph in graphs(message.graph):
        yield from graph.initializer
        yield from (item.values for item in graph.sparse_initializer)
        for node in graph.node:
            yield from _attribute_tensors(node)
    for function in message.functions:
        for node in function.node:
            yield from _attribute_tensors(node)
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    for inner in graphs(graph):
                        yield from inner.initializer
                        for nested in inner.node:
                            yield from _attribute_tensors(nested)


def _attribute_tensors(node: NodeProto) -> Iterator[TensorProto]:
    if (node.op_type == "Constant" and not node.domain) or node.domain == "ai.onnx.ml":
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            if attribute.type == AttributeProto.SPARSE_TENSOR:
                yield attribute.sparse_tensor.values
            yield from attribute.tensors


def ml_floats(message: ModelProto) -> int:
    """Numbers in the attributes of ai.onnx.ml's operators."""
    return sum(
        len(attribute.floats)
        for graph in graphs(message.graph)
        for node in graph.node
        if node.domain == "ai.onnx.ml"
        for attribute in node.attribute
    )
