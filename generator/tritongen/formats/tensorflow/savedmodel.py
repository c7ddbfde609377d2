"""SavedModels: signature, tags and sizes, from `saved_model.pb` and the names of the rest."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tritongen.formats.parsing import wire
from tritongen.formats.parsing.mapped_file import mapped
from tritongen.formats.parsing.wire import LENGTH, VARINT, DamagedError, Data
from tritongen.formats.reading import ModelSource
from tritongen.formats.tensorflow.tensorflow_types import dtype_of, label_of, shape_of
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.tensors import TensorKind, TensorSpec

SIGNATURE = "serving_default"
TAG = "serve"
# Chosen: models have a few tags, signatures and tensors; further ones are not kept.
_MAX_ENTRIES = 100_000
_MAIN = "saved_model.pb"


@dataclass(slots=True)
class MetaGraph:
    """One graph of a SavedModel."""

    tags: set[str] = field(default_factory=set)
    version: str = ""
    signatures: dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = field(
        default_factory=dict
    )


def read_savedmodel(source: ModelSource) -> ModelFacts:
    """The facts of one SavedModel folder.

    Raises:
        DamagedError: TG102, its message cannot be read, or it holds no graph.
        OSError: it cannot be opened.
    """
    main = source.file / _MAIN
    if not main.exists():
        fault = source.finding(
            "TG105",
            "a SavedModel in text form (saved_model.pbtxt)",
            fix="Load and save it again: TensorFlow then writes saved_model.pb.",
        )
        return ModelFacts(source.model, source.path, source.format, findings=(fault,))
    with mapped(main) as data:
        graphs = list(_graphs(data))
    served = next((graph for graph in graphs if TAG in graph.tags), None)
    graph = served or (graphs[0] if graphs else None)
    if graph is None:
        raise DamagedError(f"{_MAIN} holds no graph")
    inputs, outputs = graph.signatures.get(SIGNATURE, ((), ()))
    return ModelFacts(
        source.model,
        source.path,
        source.format,
        inputs=inputs,
        outputs=outputs,
        weight_bytes=_variable_bytes(source),
        producer=f"TensorFlow {graph.version}" if graph.version else "",
        findings=tuple(_findings(source, graph, tagged=served is not None)),
    )


def _graphs(data: Data) -> Iterator[MetaGraph]:
    for number, first, last in wire.parts(data, 0, len(data)):
        if number == 2:
            yield _meta_graph(data, first, last)


def _meta_graph(data: Data, start: int, stop: int) -> MetaGraph:
    graph = MetaGraph()
    for number, first, last in wire.parts(data, start, stop):
        if number == 1:
            _meta_info(data, first, last, graph)
        elif number == 5 and len(graph.signatures) < _MAX_ENTRIES:
            key, value = wire.map_entry(data, first, last)
            if value is not None:
                graph.signatures[key] = _signature(data, *value)
    return graph


def _meta_info(data: Data, start: int, stop: int, graph: MetaGraph) -> None:
    for number, first, last in wire.parts(data, start, stop):
        if number == 4 and len(graph.tags) < _MAX_ENTRIES:
            graph.tags.add(wire.text(data, first, last))
        elif number == 5:
            graph.version = wire.text(data, first, last)


def _signature(
    data: Data, start: int, stop: int
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    sides: Mapping[int, dict[str, TensorSpec]] = {1: {}, 2: {}}
    for number, first, last in wire.parts(data, start, stop):
        if number in sides and len(sides[number]) < _MAX_ENTRIES:
            name, value = wire.map_entry(data, first, last)
            if value is not None:
                sides[number][name] = _tensor(data, name, *value)
    # A map's order means nothing; by name it is the same in every file.
    ordered = [tuple(specs[name] for name in sorted(specs)) for specs in sides.values()]
    return ordered[0], ordered[1]


def _tensor(data: Data, name: str, start: int, stop: int) -> TensorSpec:
    number, shape, sparse = 0, None, TensorKind.TENSOR
    for tag, kind, first, last in wire.fields(data, start, stop):
        if tag == 2 and kind == VARINT:
            number = first
        elif tag == 3 and kind == LENGTH:
            shape = shape_of(data, first, last)
        elif tag == 4 and kind == LENGTH:
            sparse = TensorKind.SPARSE
        elif tag == 5 and kind == LENGTH:
            sparse = TensorKind.OPAQUE
    return TensorSpec(name, dtype_of(number), shape, sparse, declared_type=label_of(number))


def _variable_bytes(source: ModelSource) -> int:
    folder = source.file / "variables"
    try:
        return sum(
            entry.stat().st_size
            for entry in os.scandir(folder)
            if entry.name.startswith("variables.data-") and entry.is_file()
        )
    except OSError:
        return 0  # a frozen model has none


def _findings(source: ModelSource, graph: MetaGraph, *, tagged: bool) -> Iterator[Finding]:
    if not tagged:
        tags = ", ".join(sorted(graph.tags)) or "none"
        yield source.finding(
            "TG133",
            f"no graph has the tag {TAG!r}; there is {tags}",
            severity=Severity.WARNING,
            fix=f"Set parameter TF_GRAPH_TAG to {tags!r} in the overlay.",
        )
    if SIGNATURE not in graph.signatures:
        names = ", ".join(sorted(graph.signatures)[:5]) or "none"
        yield source.finding(
            "TG120",
            f"the model has no signature {SIGNATURE!r}; it has {names}",
            fix="Save it with signatures={'serving_default': …}.",
        )
