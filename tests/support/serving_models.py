"""Small ONNX models and configurations for the tests of serving."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

TYPES = {
    "TYPE_BOOL": TensorProto.BOOL,
    "TYPE_UINT8": TensorProto.UINT8,
    "TYPE_UINT16": TensorProto.UINT16,
    "TYPE_UINT32": TensorProto.UINT32,
    "TYPE_UINT64": TensorProto.UINT64,
    "TYPE_INT8": TensorProto.INT8,
    "TYPE_INT16": TensorProto.INT16,
    "TYPE_INT32": TensorProto.INT32,
    "TYPE_INT64": TensorProto.INT64,
    "TYPE_FP16": TensorProto.FLOAT16,
    "TYPE_FP32": TensorProto.FLOAT,
    "TYPE_FP64": TensorProto.DOUBLE,
    "TYPE_STRING": TensorProto.STRING,
    "TYPE_BF16": TensorProto.BFLOAT16,
}

Shape = Sequence[int | str | None]


def graph_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[TensorProto] = (),
) -> onnx.ModelProto:
    """A model with one graph, for every ONNX Runtime of the last years."""
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def value(name: str, dtype: str = "TYPE_FP32", shape: Shape = ("n", 2)) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, TYPES[dtype], shape)


def identity(dtype: str = "TYPE_FP32", shape: Shape = ("n", 2)) -> bytes:
    """y = x."""
    node = helper.make_node("Identity", ["x"], ["y"])
    made = graph_model([node], [value("x", dtype, shape)], [value("y", dtype, shape)])
    return made.SerializeToString()


def two_by_two() -> bytes:
    """sum = a + b and product = a * b, over rows of two."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Mul", ["a", "b"], ["product"]),
    ]
    inputs, outputs = [value("a"), value("b")], [value("sum"), value("product")]
    return graph_model(nodes, inputs, outputs).SerializeToString()


def tensor_text(kind: str, name: str, dtype: str, dims: Sequence[int], extra: str = "") -> str:
    """One `input` or `output` of a configuration."""
    numbers = ", ".join(str(dim) for dim in dims)
    return f'{kind} {{ name: "{name}" data_type: {dtype} dims: [ {numbers} ] {extra} }}\n'


def config_text(
    dtype: str = "TYPE_FP32", dims: Sequence[int] = (2,), batch: int = 4, extra: str = ""
) -> str:
    """A complete configuration of `identity`, with one instance."""
    return (
        f'backend: "onnxruntime"\nmax_batch_size: {batch}\n'
        + tensor_text("input", "x", dtype, dims)
        + tensor_text("output", "y", dtype, dims)
        + ONE_INSTANCE
        + extra
    )


ONE_INSTANCE = "instance_group { count: 1 kind: KIND_CPU }\n"


def parameter(key: str, text: str) -> str:
    """One entry of `parameters`."""
    return f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}\n'
