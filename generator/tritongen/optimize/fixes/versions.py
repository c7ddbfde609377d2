"""IR version and opsets that the target's runtime reads."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tritongen.optimize.fixes.fix import CannotFix, FixContext, Rewrite
from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.onnx_files import is_reference
from tritongen.optimize.rewritten_graph import Graph, subgraphs, tensor_info

# ONNX Runtime promises nothing for older ones.
FIRST_OPSET = 7
# What an old model is raised to: per-channel quantisation and most tools need it.
RAISED_OPSET = 13
_ML = "ai.onnx.ml"
# IR version that brought an element type, by its name in TensorProto.
_TYPES: Mapping[str, int] = MappingProxyType(
    {
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
)


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
    for node in graph.node:
        own = "" if node.domain == "ai.onnx" else node.domain
        if own == domain:
            yield node.op_type
        for inner in subgraphs(node):
            yield from operator_types(inner, domain)


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
    inputs = [item for item in converted.graph.input if item.name not in _names(large, declared)]
    del converted.graph.input[:]
    converted.graph.input.extend(inputs)
    converted.graph.initializer.extend(large)
    ir, imports = (
        proto.ir_version,
        [i for i in proto.opset_import if i.domain not in {"", "ai.onnx"}],
    )
    kept = [library.OperatorSetIdProto(domain=i.domain, version=i.version) for i in imports]
    proto.CopyFrom(converted)
    proto.ir_version = ir
    del proto.opset_import[:]
    proto.opset_import.add(domain="", version=version)
    proto.opset_import.extend(kept)
    graph.changed()


def _names(large: list[Proto], declared: set[str]) -> set[str]:
    return {item.name for item in large} - declared
