"""A model as text, for golden files: the same for every version of onnx."""

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    helper,
    numpy_helper,
)

from tritongen.model.tensors import show_shape
from tritongen.optimize.rewritten_graph import dims_of

_SHOWN = 12


def dump(model: ModelProto) -> str:
    """One line an input, output, constant and operator."""
    opsets = ", ".join(f"{item.domain or 'ai.onnx'} {item.version}" for item in model.opset_import)
    return "\n".join([f"IR {model.ir_version}, {opsets}", *_graph(model.graph, "")]) + "\n"


def _graph(graph: GraphProto, indent: str) -> list[str]:
    lines = [f"{indent}in  {_info(info)}" for info in graph.input]
    lines += [f"{indent}let {item.name} = {_tensor(item)}" for item in graph.initializer]
    for node in graph.node:
        lines.append(f"{indent}    {_node(node)}")
        for item in node.attribute:
            if item.type == AttributeProto.GRAPH:
                lines += [f"{indent}      {item.name}:", *_graph(item.g, f"{indent}        ")]
    return lines + [f"{indent}out {_info(info)}" for info in graph.output]


def _info(info) -> str:
    if info.type.HasField("tensor_type"):
        kind = TensorProto.DataType.Name(info.type.tensor_type.elem_type)
        return f"{info.name!r}: {kind} {show_shape(dims_of(info))}"
    return f"{info.name!r}: {_kind(info.type)}"


def _kind(kind: TypeProto) -> str:
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return TensorProto.DataType.Name(kind.tensor_type.elem_type)
    if which == "map_type":
        key = TensorProto.DataType.Name(kind.map_type.key_type)
        return f"map({key}, {_kind(kind.map_type.value_type)})"
    inner = kind.sequence_type if which == "sequence_type" else kind.optional_type
    return f"{which.removesuffix('_type')}({_kind(inner.elem_type)})"


def _tensor(tensor: TensorProto) -> str:
    kind = TensorProto.DataType.Name(tensor.data_type)
    if tensor.data_location == TensorProto.EXTERNAL:
        return f"{kind} {list(tensor.dims)} (outside)"
    values = numpy_helper.to_array(tensor)
    if values.size > _SHOWN:
        return f"{kind} {list(tensor.dims)}"
    if values.dtype == object:
        return f"{kind} {[str(item) for item in values.ravel()]}"
    if values.dtype.kind == "f":
        values = np.round(values.astype(np.float64), 4)
    return f"{kind} {values.tolist()}"


def _node(node: NodeProto) -> str:
    domain = f"{node.domain}." if node.domain else ""
    settings = "".join(
        f" {item.name}={_setting(item)}"
        for item in sorted(node.attribute, key=lambda item: item.name)
        if item.type != AttributeProto.GRAPH
    )
    inputs = ", ".join(name or "_" for name in node.input)
    return f"{', '.join(map(repr, node.output))} = {domain}{node.op_type}({inputs}){settings}"


def _plain(part: object) -> object:
    if isinstance(part, bytes):
        return part.decode()
    return round(part, 4) if isinstance(part, float) else part


def _setting(item: AttributeProto) -> str:
    value = helper.get_attribute_value(item)
    if isinstance(value, TensorProto):
        return _tensor(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list) and len(value) > _SHOWN:
        return f"[{len(value)} values]"
    if isinstance(value, list):
        return str([_plain(part) for part in value])
    return f"{value:.4g}" if isinstance(value, float) else str(value)
