"""An ONNX graph that is being rewritten: lookups by name, constants, insertions.

Indexes are built when they are asked for and dropped when the graph changes, so that a rewrite
reads like the change that it makes.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

import numpy as np

from tritongen.model.samples import Array
from tritongen.model.tensors import Dim
from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.onnx_files import graphs_of, is_reference, subgraphs

_ONNX_DOMAINS = {"", "ai.onnx"}
# Attributes of a Constant that hold numbers instead of a tensor.
_CONSTANTS = {
    "value_int": "int64",
    "value_ints": "int64",
    "value_float": "float32",
    "value_floats": "float32",
}


class Graph:
    """The main graph of one model.

    Attributes:
        proto: the ModelProto; changed in place.
    """

    def __init__(self, proto: Proto) -> None:
        self.proto = proto
        self._names: set[str] | None = None
        self._producers: dict[str, Proto] | None = None
        self._constants: dict[str, Proto] | None = None

    # What is there.

    @property
    def nodes(self) -> Sequence[Proto]:
        """Nodes of the main graph, in its order."""
        return list(self.proto.graph.node)

    @property
    def inputs(self) -> list[Proto]:
        """Inputs that a caller must give; overridable initialisers are left out."""
        held = {item.name for item in self.proto.graph.initializer}
        held |= {item.values.name for item in self.proto.graph.sparse_initializer}
        return [item for item in self.proto.graph.input if item.name not in held]

    @property
    def outputs(self) -> list[Proto]:
        """Outputs, in order."""
        return list(self.proto.graph.output)

    def opset(self, domain: str = "") -> int:
        """The version of a domain that the model imports, 0 when it does not."""
        domains = _ONNX_DOMAINS if domain in _ONNX_DOMAINS else {domain}
        return max((o.version for o in self.proto.opset_import if o.domain in domains), default=0)

    def producer(self, name: str) -> Proto | None:
        """The node that writes a value, None for inputs and initialisers."""
        if self._producers is None:
            self._producers = {out: node for node in self.nodes for out in node.output if out}
        return self._producers.get(name)

    def consumers(self, name: str) -> list[Proto]:
        """Nodes that read a value, directly or inside their sub-graphs."""
        return [node for node in self.nodes if name in set(_reads(node))]

    def is_output(self, name: str) -> bool:
        """Whether a value is an output of the graph."""
        return any(item.name == name for item in self.proto.graph.output)

    def constant(self, name: str) -> Array | None:
        """The content of a small initialiser or Constant node, None for anything else."""
        tensor = self._constant_tensor(name)
        if tensor is None or is_reference(tensor):
            return None
        array: Array = onnx().numpy_helper.to_array(tensor)
        return array

    def is_constant(self, name: str) -> bool:
        """Whether a value is an initialiser or the output of a Constant node."""
        return self._constant_tensor(name) is not None

    def _constant_tensor(self, name: str) -> Proto | None:
        if self._constants is None:
            self._constants = {item.name: item for item in self.proto.graph.initializer}
            for node in self.nodes:
                if node.op_type == "Constant" and node.domain in _ONNX_DOMAINS:
                    tensor = _constant_value(node)
                    if tensor is not None:
                        self._constants[node.output[0]] = tensor
        overridable = any(item.name == name for item in self.proto.graph.input)
        return None if overridable else self._constants.get(name)

    def topological(self) -> list[Proto]:
        """Nodes in an order in which each comes after those it reads from.

        Raises:
            ValueError: the graph has a circle.
        """
        waiting = list(self.nodes)
        written = {out for node in waiting for out in node.output if out}
        done: set[str] = set()
        ordered: list[Proto] = []
        while waiting:
            left = []
            for node in waiting:
                if all(name not in written or name in done for name in _reads(node)):
                    ordered.append(node)
                    done.update(out for out in node.output if out)
                else:
                    left.append(node)
            if len(left) == len(waiting):
                raise ValueError("operators wait for each other in a circle")
            waiting = left
        return ordered

    # What is changed.

    def changed(self) -> None:
        """Forget every index; called after a change that was made directly in the message."""
        self._names = self._producers = self._constants = None

    def fresh(self, stem: str) -> str:
        """A value's name that is not used yet."""
        if self._names is None:
            self._names = set(_all_names(self.proto.graph))
        name, number = stem, 0
        while name in self._names:
            number += 1
            name = f"{stem}_{number}"
        self._names.add(name)
        return name

    def add_constant(self, values: object, stem: str, dtype: str = "int64") -> str:
        """A new initialiser; returns its name."""
        name = self.fresh(stem)
        array = np.asarray(values, dtype=dtype)
        self.proto.graph.initializer.append(onnx().numpy_helper.from_array(array, name))
        self._constants = None
        return name

    def make(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object
    ) -> Proto:
        """A node that is not part of the graph yet; ``domain`` is an attribute too."""
        return onnx().helper.make_node(
            op, list(inputs), list(outputs), name=self.fresh(f"tritongen_{op}"), **attributes
        )

    def insert(self, nodes: Iterable[Proto], before: Proto | None = None) -> None:
        """Put nodes in front of another, or at the end.

        Raises:
            ValueError: `before` is not in the graph.
        """
        held = self.proto.graph.node
        place = len(held) if before is None else self._index(before)
        for offset, node in enumerate(nodes):
            held.insert(place + offset, node)
        self.changed()

    def insert_first(self, nodes: Iterable[Proto]) -> None:
        """Put nodes in front of all others."""
        self.insert(nodes, before=next(iter(self.proto.graph.node), None))

    def remove(self, node: Proto) -> None:
        """Take a node out.

        Raises:
            ValueError: it is not in the graph.
        """
        del self.proto.graph.node[self._index(node)]
        self.changed()

    def _index(self, node: Proto) -> int:
        for index, item in enumerate(self.proto.graph.node):
            if item is node:
                return index
        raise ValueError("the node is not in the graph")

    def rename_value(self, old: str, new: str) -> None:
        """Give a value another name wherever it is written, read or declared."""
        graph = self.proto.graph
        for info in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            if info.name == old:
                info.name = new
        for node in graph.node:
            _rename(node, old, new, writes=True)
        self.changed()

    def redirect(self, old: str, new: str) -> None:
        """Have every reader of one value read another."""
        for node in self.proto.graph.node:
            _rename(node, old, new, writes=False)
        self.changed()

    def drop_unused(self) -> None:
        """Drop constants that nothing reads any more; inputs stay."""
        used = {name for node in self.proto.graph.node for name in _reads(node)}
        used |= {info.name for info in (*self.proto.graph.output, *self.proto.graph.input)}
        held = self.proto.graph.initializer
        for index in reversed(range(len(held))):
            if held[index].name not in used:
                del held[index]
        for node in self.nodes:
            if node.op_type == "Constant" and not set(node.output) & used:
                self.remove(node)
        self.changed()

    def forget_shapes(self) -> None:
        """Drop every declared shape between inputs and outputs, sub-graphs included."""
        del self.proto.graph.value_info[:]
        for graph in list(graphs_of(self.proto.graph))[1:]:
            del graph.value_info[:]
            for info in (*graph.input, *graph.output):
                if info.type.HasField("tensor_type"):
                    info.type.tensor_type.ClearField("shape")


def attribute(node: Proto, name: str, default: object = None) -> object:
    """An attribute's value, or the default."""
    for item in node.attribute:
        if item.name == name:
            value: object = onnx().helper.get_attribute_value(item)
            return value
    return default


def set_attribute(node: Proto, name: str, value: object) -> None:
    """Give an attribute a value, or take it away with None."""
    left = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend(left)
    if value is not None:
        node.attribute.append(onnx().helper.make_attribute(name, value))


def dims_of(info: Proto) -> tuple[Dim, ...] | None:
    """Declared shape of a tensor: sizes, symbols, None for a size without a name.

    None where no rank is declared or the value is no tensor.
    """
    if not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None)
        for dim in info.type.tensor_type.shape.dim
    )


def set_dims(info: Proto, dims: Iterable[Dim] | None) -> None:
    """Declare a tensor's shape; None withdraws the rank."""
    tensor = info.type.tensor_type
    declared = onnx().helper.make_tensor_type_proto(tensor.elem_type, dims)
    tensor.CopyFrom(declared.tensor_type)


def tensor_info(name: str, element: int, dims: Iterable[Dim] | None) -> Proto:
    """The declaration of a tensor."""
    return onnx().helper.make_tensor_value_info(name, element, dims)


def is_tensor(info: Proto) -> bool:
    """Whether an input or output is a dense tensor."""
    return bool(info.type.HasField("tensor_type"))


def replace_output(graph: Proto, old: str, infos: Sequence[Proto]) -> None:
    """Declare other outputs in the place of one."""
    declared = []
    for item in graph.output:
        declared += [deepcopy(info) for info in infos] if item.name == old else [deepcopy(item)]
    del graph.output[:]
    graph.output.extend(declared)


def _constant_value(node: Proto) -> Proto | None:
    """The tensor of a Constant node, whatever attribute it is in."""
    library = onnx()
    name = node.output[0] if node.output else ""
    for item in node.attribute:
        if item.name == "value":
            return item.t
        if item.name in _CONSTANTS:
            values = library.helper.get_attribute_value(item)
            array = np.asarray(values, _CONSTANTS[item.name])
            return library.numpy_helper.from_array(array, name)
    return None


def _own_names(inner: Proto) -> set[str]:
    """Values that a sub-graph has by itself."""
    declared = {item.name for item in (*inner.input, *inner.initializer)}
    return declared | {out for item in inner.node for out in item.output}


def _reads(node: Proto) -> Iterator[str]:
    """Values that a node reads from the graph around it."""
    yield from (name for name in node.input if name)
    for inner in subgraphs(node):
        own = _own_names(inner)
        for item in inner.node:
            yield from (name for name in _reads(item) if name not in own)
        yield from (item.name for item in inner.output if item.name not in own)


def _rename(node: Proto, old: str, new: str, *, writes: bool) -> None:
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new
    if writes:
        for index, name in enumerate(node.output):
            if name == old:
                node.output[index] = new
    for inner in subgraphs(node):
        own = _own_names(inner)
        if old in own:
            continue
        for item in inner.node:
            _rename(item, old, new, writes=False)
        for info in inner.output:
            if info.name == old:
                info.name = new


def _all_names(whole: Proto) -> Iterator[str]:
    for graph in graphs_of(whole):
        for info in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            yield info.name
        for node in graph.node:
            yield from (node.name, *node.input, *node.output)
