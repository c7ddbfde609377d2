"""What a model declares: versions, and names, scalars, sizes and ranks of inputs and outputs."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy

import numpy as np

from tritongen.model.samples import Array
from tritongen.model.tensors import Dim, fits, show_shape
from tritongen.optimize.fixes.fix import CannotFix, FixContext, Rewrite
from tritongen.optimize.fixes.shape_inference import infer, is_unnamed, public
from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.onnx_files import graphs_of, is_reference
from tritongen.optimize.onnx_session import Arrays, Value, Values
from tritongen.optimize.rewrite_proof import Adapter, tensors_only
from tritongen.optimize.rewritten_graph import (
    Graph,
    dims_of,
    is_tensor,
    replace_output,
    set_dims,
    tensor_info,
)

# ONNX Runtime promises nothing for older ones.
FIRST_OPSET = 7
# What an old model is raised to: per-channel quantisation and most tools need it.
RAISED_OPSET = 13
_ML = "ai.onnx.ml"
# IR version that brought an element type, by its name in TensorProto.
_TYPES: Mapping[str, int] = {
    "FLOAT8E4M3FN": 9,
    "FLOAT8E4M3FNUZ": 9,
    "FLOAT8E5M2": 9,
    "FLOAT8E5M2FNUZ": 9,
    "UINT4": 10,
    "INT4": 10,
    "FLOAT4E2M1": 11,
    "FLOAT8E8M0": 12,
    "UINT2": 13,
    "INT2": 13,
}


def usable_name(name: object) -> bool:
    """Whether clients can address a tensor of this name and Triton passes it on whole."""
    return isinstance(name, str) and bool(name) and name.isprintable()


def names(graph: Graph, _context: FixContext) -> Rewrite | None:
    """Inputs and outputs whose names cannot be served get others."""
    inputs = {info.name for info in graph.inputs if not usable_name(info.name)}
    outputs = {info.name for info in graph.outputs if not usable_name(info.name)}
    doubles = {name for name, n in Counter(i.name for i in graph.outputs).items() if n > 1}
    if not inputs and not outputs and not doubles:
        return None
    if not all(isinstance(name, str) and name for name in inputs | outputs):
        raise CannotFix("a name is empty or no text, so the model does not load as it is")
    new = {name: _clean(graph, name) for name in sorted(inputs | outputs)}
    for old, name in new.items():
        graph.rename_value(old, name)
    added = {old: _split(graph, old) for old in sorted(doubles - set(new))}

    def feed(values: Arrays) -> dict[str, Array]:
        return {new.get(name, name): array for name, array in values.items()}

    def give(values: Values) -> dict[str, Value]:
        found = {new.get(name, name): value for name, value in values.items()}
        for old, copies in added.items():
            found |= dict.fromkeys(copies, found[old])
        return found

    every = new | {old: ", ".join(copies) for old, copies in added.items()}
    text = "; ".join(f"{old!r} is now {name!r}" for old, name in every.items())
    return Rewrite(f"renamed: {text}", Adapter(feed, give), renamed=every)


def _clean(graph: Graph, name: str) -> str:
    kept = "".join(c if c.isprintable() else "_" for c in name).strip("_ ")
    return graph.fresh(kept or "tensor")


def _split(graph: Graph, name: str) -> list[str]:
    """Further outputs of one name become outputs of their own."""
    copies = []
    for info in [item for item in graph.proto.graph.output if item.name == name][1:]:
        other = graph.fresh(f"{name}_1")
        graph.insert([graph.make("Identity", [name], [other])])
        info.name = other
        copies.append(other)
    return copies


def scalars(graph: Graph, context: FixContext) -> Rewrite | None:
    """Inputs and outputs without axes get one of size 1, as they are served anyway."""
    inputs = [info for info in graph.inputs if dims_of(info) == ()]
    outputs = [info for info in graph.outputs if _is_scalar(info, context)]
    if not inputs and not outputs:
        return None
    found = {info.name for info in (*inputs, *outputs)}
    for info in inputs:
        _scalar_input(graph, info)
    for info in outputs:
        _scalar_output(graph, info)

    def feed(values: Arrays) -> dict[str, Array]:
        return {name: a.reshape(1) if name in found else a for name, a in values.items()}

    def give(values: Values) -> dict[str, Value]:
        tensors = {name: a for name, a in tensors_only(values).items() if name in found}
        return dict(values) | feed(tensors)

    names = ", ".join(repr(name) for name in sorted(found))
    reason = f"{names}: a scalar is now a tensor of shape [1]"
    return Rewrite(reason, Adapter(feed, give))


def _is_scalar(info: Proto, context: FixContext) -> bool:
    if not is_tensor(info):
        return False
    seen = context.observed.get(info.name)
    return seen == () if seen is not None else dims_of(info) == ()


def _scalar_input(graph: Graph, info: Proto) -> None:
    name = info.name
    inner = graph.fresh(f"{name}_scalar")
    graph.redirect(name, inner)
    shape = graph.add_constant(np.zeros(0, np.int64), "no_axes")
    graph.insert_first([graph.make("Reshape", [name, shape], [inner])])
    set_dims(info, (1,))


def _scalar_output(graph: Graph, info: Proto) -> None:
    name, element = info.name, info.type.tensor_type.elem_type
    inner = graph.fresh(f"{name}_scalar")
    if graph.producer(name) is None:
        raise CannotFix(f"output {name!r} is an input or a constant passed through")
    graph.rename_value(name, inner)
    shape = graph.add_constant([1], "one_axis")
    graph.insert([graph.make("Reshape", [inner, shape], [name])])
    replace_output(graph.proto.graph, inner, [tensor_info(name, element, (1,))])


def sizes(graph: Graph, _context: FixContext) -> Rewrite | None:
    """Sizes below 1 in a declaration mean a dynamic size."""
    found = []
    for info in (*graph.proto.graph.input, *graph.proto.graph.output):
        dims = dims_of(info)
        if dims is not None and any(isinstance(dim, int) and dim < 1 for dim in dims):
            found.append(f"{info.name!r} {show_shape(dims)}")
            set_dims(info, [None if isinstance(d, int) and d < 1 else d for d in dims])
    if not found:
        return None
    graph.forget_shapes()
    return Rewrite(f"sizes below 1 are now dynamic: {', '.join(found)}")


def ranks(graph: Graph, context: FixContext) -> Rewrite | None:
    """Outputs declare the shape that the graph gives them."""
    inferred = infer(graph)
    symbols = {dim for info in graph.inputs for dim in dims_of(info) or () if isinstance(dim, str)}
    changes = []
    for info in graph.outputs:
        if not is_tensor(info):
            continue
        declared, seen = dims_of(info), context.observed.get(info.name)
        wanted = _true_dims(declared, inferred.get(info.name), seen, symbols)
        if wanted is not None:
            changes.append(f"{info.name!r} {show_shape(declared)} → {show_shape(wanted)}")
            set_dims(info, wanted)
    if not changes:
        return None
    graph.forget_shapes()
    return Rewrite(f"declared shapes corrected: {', '.join(changes)}")


def _true_dims(
    declared: tuple[Dim, ...] | None,
    inferred: tuple[Dim, ...] | None,
    seen: tuple[int, ...] | None,
    symbols: Collection[Dim],
) -> tuple[Dim, ...] | None:
    """The shape to declare, None when the declaration may stay."""
    if inferred is not None and seen is not None and not fits(inferred, seen):
        # Inference trusted something that is not so; the run counts.
        inferred = None
    if inferred is None:
        if seen is None or (declared is not None and fits(declared, seen)):
            return None
        return (None,) * len(seen)
    if declared is None or len(declared) != len(inferred):
        return public(inferred)
    wanted = [
        _true_dim(mine, theirs, symbols) for mine, theirs in zip(declared, inferred, strict=True)
    ]
    return public(wanted) if tuple(wanted) != declared else None


def _true_dim(declared: Dim, inferred: Dim, symbols: Collection[Dim]) -> Dim:
    if isinstance(inferred, int):
        return inferred if isinstance(declared, int) else declared
    open_input = inferred in symbols or is_unnamed(inferred)
    return inferred if isinstance(declared, int) and open_input else declared


def ir_version(graph: Graph, context: FixContext) -> Rewrite | None:
    """A newer IR version is lowered where the model uses nothing that came with it."""
    own = graph.proto.ir_version
    if own <= context.runtime.ir:
        return None
    library = onnx()
    for tensor in graph.proto.graph.initializer:
        name = library.TensorProto.DataType.Name(tensor.data_type)
        if _TYPES.get(name, 0) > context.runtime.ir:
            raise CannotFix(f"{tensor.name!r} is {name}, which came with IR {_TYPES[name]}")
    graph.proto.ir_version = context.runtime.ir
    return Rewrite(
        f"IR version {own} → {context.runtime.ir}, the newest that {context.runtime.name} reads"
    )


def opset(graph: Graph, context: FixContext) -> Rewrite | None:
    """Opsets beyond the target's, or older than the runtime supports, are converted."""
    _merge_imports(graph)
    wanted: dict[str, tuple[int, int]] = {}
    main, ml = graph.opset(), graph.opset(_ML)
    if main > context.runtime.opset:
        wanted[""] = (main, context.runtime.opset)
    elif 0 < main < FIRST_OPSET:
        wanted[""] = (main, min(RAISED_OPSET, context.runtime.opset))
    if ml > context.runtime.ml_opset:
        wanted[_ML] = (ml, context.runtime.ml_opset)
    if not wanted:
        return None
    for domain, (_, low) in wanted.items():
        if context.attempt:
            # onnx lacks a conversion; most changes only add types, and the proof runs both.
            _state_opset(graph, low, domain)
        else:
            set_opset(graph, low, domain)
    text = ", ".join(f"{d or 'ai.onnx'} {old} → {new}" for d, (old, new) in wanted.items())
    return Rewrite(f"opset {text}, for {context.runtime.name}")


def _merge_imports(graph: Graph) -> None:
    """One import a domain, the newest: some exporters name a domain several times."""
    newest: dict[str, int] = {}
    for item in graph.proto.opset_import:
        domain = "" if item.domain == "ai.onnx" else item.domain
        newest[domain] = max(newest.get(domain, 0), item.version)
    del graph.proto.opset_import[:]
    for domain, version in newest.items():
        graph.proto.opset_import.add(domain=domain, version=version)


def set_opset(graph: Graph, version: int, domain: str = "") -> None:
    """Convert a domain's operators to a version; just the number where no operator changed.

    Raises:
        CannotFix: onnx has no conversion for an operator.
    """
    own = graph.opset(domain)
    if own == version:
        return
    changed = sorted(set(_changed(graph, domain, own, version)))
    if changed and domain:
        raise CannotFix(f"{', '.join(changed)} changed with {domain} {own}; nothing converts them")
    if changed:
        _convert(graph, version, changed)
        return
    _state_opset(graph, version, domain)


def _state_opset(graph: Graph, version: int, domain: str) -> None:
    for item in graph.proto.opset_import:
        if item.domain == domain or (not domain and item.domain == "ai.onnx"):
            item.version = version


def _changed(graph: Graph, domain: str, first: int, second: int) -> Iterator[str]:
    """Operators whose definition differs between two versions."""
    for name in operator_types(graph.proto.graph, domain):
        if _since(name, domain, first) != _since(name, domain, second):
            yield name


def _since(name: str, domain: str, version: int) -> int:
    try:
        return int(onnx().defs.get_schema(name, version, domain).since_version)
    except Exception:  # noqa: BLE001  (onnx raises a class of its own for an unknown operator)
        return -1


def operator_types(graph: Proto, domain: str) -> Iterator[str]:
    """Operator types of a domain in a graph and its sub-graphs."""
    for node in (node for one in graphs_of(graph) for node in one.node):
        if ("" if node.domain == "ai.onnx" else node.domain) == domain:
            yield node.op_type


def _convert(graph: Graph, version: int, changed: list[str]) -> None:
    """The converter of onnx, on the graph without its large weights."""
    library = onnx()
    proto = graph.proto
    large = [item for item in proto.graph.initializer if is_reference(item)]
    small = [item for item in proto.graph.initializer if not is_reference(item)]
    declared = {item.name for item in proto.graph.input}
    copy = library.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(small)
    copy.graph.input.extend(
        tensor_info(item.name, item.data_type, item.dims)
        for item in large
        if item.name not in declared
    )
    try:
        converted = library.version_converter.convert_version(copy, version)
    except Exception as error:  # noqa: BLE001  (the converter's C++ errors share no base class)
        words = " ".join(str(error).split())[:200]
        raise CannotFix(
            f"onnx cannot convert opset {graph.opset()} to {version} ({', '.join(changed)} "
            f"changed): {words}"
        ) from None
    added = {item.name for item in large} - declared
    inputs = [item for item in converted.graph.input if item.name not in added]
    del converted.graph.input[:]
    converted.graph.input.extend(inputs)
    converted.graph.initializer.extend(large)
    own = {"", "ai.onnx"}
    imports = deepcopy([item for item in proto.opset_import if item.domain not in own])
    ir = proto.ir_version
    proto.CopyFrom(converted)
    proto.ir_version = ir
    del proto.opset_import[:]
    proto.opset_import.add(domain="", version=version)
    proto.opset_import.extend(imports)
    graph.changed()
