"""Outputs that are no tensors: maps of classifiers, sequences, optional values."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from tritongen.model.samples import Array
from tritongen.optimize.fixes.fix import CannotFix, FixContext, Rewrite
from tritongen.optimize.fixes.shape_inference import infer, public
from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.onnx_session import Value, Values
from tritongen.optimize.rewrite_proof import Adapter
from tritongen.optimize.rewritten_graph import (
    Graph,
    attribute,
    dims_of,
    replace_output,
    set_dims,
    tensor_info,
)

_ML = "ai.onnx.ml"
_OPTIONAL_SINCE = 15
_SEQUENCES_SINCE = 11


def zipmap(graph: Graph, _context: FixContext) -> Rewrite | None:
    """A classifier's list of maps from class to score becomes the scores, [rows, classes]."""
    classes = {}
    float_ = int(onnx().TensorProto.FLOAT)
    for node in graph.nodes:
        if node.op_type != "ZipMap" or node.domain != _ML or not graph.is_output(node.output[0]):
            continue
        output, scores = node.output[0], node.input[0]
        classes[output] = zipmap_classes(node)
        graph.insert([graph.make("Identity", [scores], [output])], before=node)
        graph.remove(node)
        replace_output(graph.proto.graph, output, [tensor_info(output, float_, None)])
        dims = infer(graph).get(output) or (None, len(classes[output]))
        declared = tensor_info(output, float_, public((*dims[:-1], len(classes[output]))))
        replace_output(graph.proto.graph, output, [declared])
    if not classes:
        return None
    names, labels = next(iter(classes.items()))

    def outputs(values: Values) -> dict[str, Value]:
        return dict(values) | {
            name: _scores(values[name], order) for name, order in classes.items()
        }

    text = ", ".join(repr(name) for name in classes)
    return Rewrite(
        f"{text}: the list of maps is now a tensor of scores in the order of the classes",
        Adapter(outputs=outputs),
        labels=tuple(map(str, labels)),
        labels_of=names,
    )


def zipmap_classes(node: Proto) -> Sequence[object]:
    """Keys of a ZipMap's maps, in the order of the scores."""
    texts = attribute(node, "classlabels_strings") or []
    keys = texts or attribute(node, "classlabels_int64s") or []
    if not isinstance(keys, list) or not keys:
        raise CannotFix("the ZipMap operator names no classes")
    return [item.decode() if isinstance(item, bytes) else item for item in keys]


def _scores(maps: object, classes: Sequence[object]) -> Array:
    if not isinstance(maps, list):
        raise CannotFix("the original's output is no list of maps")
    return np.array([[item[key] for key in classes] for item in maps], dtype=np.float32)


def label_indices(graph: Graph, context: FixContext) -> Rewrite | None:
    """A classifier's label as text becomes its index in the list of classes."""
    if context.string_labels:
        return None
    classes = class_names(graph)
    found = [info for info in graph.outputs if _is_text(info)]
    if not classes or not found:
        return None
    encoded = []
    for info in found:
        name, dims = info.name, dims_of(info)
        inner = graph.fresh(f"{name}_text")
        graph.rename_value(name, inner)
        graph.insert([_encoder(graph, inner, name, classes)])
        declared = tensor_info(name, onnx().TensorProto.INT64, dims)
        replace_output(graph.proto.graph, inner, [declared])
        encoded.append(name)
    order = {name.encode(): index for index, name in enumerate(classes)}

    def outputs(values: Values) -> dict[str, Value]:
        return dict(values) | {
            name: np.vectorize(lambda text: order.get(text, -1), otypes=[np.int64])(values[name])
            for name in encoded
        }

    return Rewrite(
        f"{', '.join(map(repr, encoded))}: the label's text is now its index; labels.txt names "
        f"the {len(classes)} classes",
        Adapter(outputs=outputs),
        labels=tuple(classes),
        labels_of=encoded[0],
    )


def class_names(graph: Graph) -> list[str]:
    """The classes of a classifier with texts for labels, empty when there is none."""
    for node in graph.nodes:
        found = attribute(node, "classlabels_strings") if node.domain == _ML else None
        if isinstance(found, list) and found:
            return [item.decode() for item in found]
        if node.op_type == "ArrayFeatureExtractor":
            table = graph.constant(node.input[0])
            if table is not None and table.dtype.kind in "OSU":
                return [
                    item.decode() if isinstance(item, bytes) else str(item)
                    for item in table.ravel().tolist()
                ]
    return []


def _encoder(graph: Graph, source: str, target: str, classes: Sequence[str]) -> Proto:
    if graph.opset(_ML) < 2:
        settings: dict[str, object] = {"classes_strings": list(classes)}
    else:
        settings = {"keys_strings": list(classes), "values_int64s": list(range(len(classes)))}
    return graph.make("LabelEncoder", [source], [target], domain=_ML, default_int64=-1, **settings)


def _is_text(info: Proto) -> bool:
    return bool(
        info.type.HasField("tensor_type")
        and info.type.tensor_type.elem_type == onnx().TensorProto.STRING
    )


def sequence(graph: Graph, context: FixContext) -> Rewrite | None:
    """A sequence of tensors becomes one output an element, or one tensor with a further axis."""
    found = [
        info
        for info in graph.outputs
        if info.type.HasField("sequence_type")
        and info.type.sequence_type.elem_type.HasField("tensor_type")
    ]
    if not found:
        return None
    elements: dict[str, list[str]] = {}
    stacked: dict[str, int] = {}
    for info in found:
        # The message is replaced on the way, its name with it.
        name = info.name
        producer = graph.producer(name)
        if producer is None:
            raise CannotFix(f"output {name!r} is an input passed through")
        element = info.type.sequence_type.elem_type.tensor_type.elem_type
        if producer.op_type == "SequenceConstruct":
            elements[name] = _take_apart(graph, name, producer, element)
        else:
            stacked[name] = _stack(graph, name, element, 1 - context.attempt)
    names = {old: ", ".join(new) for old, new in elements.items()}

    def outputs(values: Values) -> dict[str, Value]:
        result = {name: value for name, value in values.items() if name not in elements}
        for old, new in elements.items():
            result |= dict(zip(new, _arrays(values[old]), strict=True))
        for name, axis in stacked.items():
            result[name] = _stacked(_arrays(values[name]), axis)
        return result

    parts = [f"{old!r} is now the outputs {new}" for old, new in names.items()]
    parts += [
        f"{name!r} is now one tensor, stacked on axis {axis}" for name, axis in stacked.items()
    ]
    return Rewrite("the sequence " + "; ".join(parts), Adapter(outputs=outputs), renamed=names)


def _take_apart(graph: Graph, name: str, producer: Proto, element: int) -> list[str]:
    """One output for each element of a SequenceConstruct."""
    shapes = infer(graph)
    new = [graph.fresh(f"{name}_{index}") for index in range(len(producer.input))]
    graph.insert(
        [
            graph.make("Identity", [old], [output])
            for old, output in zip(producer.input, new, strict=True)
        ]
    )
    infos = [
        tensor_info(output, element, public(shapes[old]) if old in shapes else None)
        for old, output in zip(producer.input, new, strict=True)
    ]
    replace_output(graph.proto.graph, name, infos)
    if not graph.consumers(name):
        graph.remove(producer)
    return new


def _stack(graph: Graph, name: str, element: int, axis: int) -> int:
    """The elements of any sequence in one tensor; they must be of one shape."""
    if graph.opset() < _SEQUENCES_SINCE:
        raise CannotFix(f"opset {graph.opset()} has no operator that joins a sequence")
    inner = graph.fresh(f"{name}_sequence")
    graph.rename_value(name, inner)
    graph.insert([graph.make("ConcatFromSequence", [inner], [name], axis=axis, new_axis=1)])
    info = tensor_info(name, element, None)
    replace_output(graph.proto.graph, inner, [info])
    inferred = infer(graph).get(name)
    set_dims(
        next(item for item in graph.proto.graph.output if item.name == name),
        public(inferred) if inferred else None,
    )
    return axis


def _stacked(arrays: Sequence[Array], axis: int) -> Array:
    if len({array.shape for array in arrays}) != 1:
        raise CannotFix("the elements of the sequence differ in shape, or there are none")
    return np.stack(arrays, axis=min(axis, arrays[0].ndim))


def _arrays(value: object) -> list[Array]:
    if not isinstance(value, list):
        raise CannotFix("the original's output is no sequence")
    return [np.asarray(item) for item in value]


def optional(graph: Graph, _context: FixContext) -> Rewrite | None:
    """An optional output or input becomes its value, always present."""
    outputs = [info for info in graph.outputs if info.type.HasField("optional_type")]
    inputs = [info for info in graph.inputs if info.type.HasField("optional_type")]
    if not outputs and not inputs:
        return None
    names = [repr(info.name) for info in (*inputs, *outputs)]
    for info in inputs:
        _open_input(graph, info)
    for info in outputs:
        _open_output(graph, info)
    return Rewrite(f"{', '.join(names)} is no longer optional: the value is always present")


def _open_output(graph: Graph, info: Proto) -> None:
    name, producer = info.name, graph.producer(info.name)
    if producer is not None and producer.op_type == "Optional" and producer.input:
        graph.insert([graph.make("Identity", [producer.input[0]], [name])], before=producer)
        graph.remove(producer)
    else:
        if graph.opset() < _OPTIONAL_SINCE:
            raise CannotFix(f"opset {graph.opset()} has no operator that opens an optional value")
        inner = graph.fresh(f"{name}_optional")
        graph.rename_value(name, inner)
        graph.insert([graph.make("OptionalGetElement", [inner], [name])])
        info.name = name
    _present(info)


def _open_input(graph: Graph, info: Proto) -> None:
    for node in graph.consumers(info.name):
        if node.op_type == "OptionalGetElement":
            new = graph.make("Identity", [info.name], list(node.output))
        elif node.op_type == "OptionalHasElement":
            true = graph.add_constant(True, f"{info.name}_is_present", "bool")
            new = graph.make("Identity", [true], list(node.output))
        else:
            raise CannotFix(f"operator {node.op_type} takes the optional input {info.name!r}")
        graph.insert([new], before=node)
        graph.remove(node)
    _present(info)


def _present(info: Proto) -> None:
    """Declares the value itself in place of an optional one."""
    kind = deepcopy(info.type.optional_type.elem_type)
    info.type.CopyFrom(kind)
