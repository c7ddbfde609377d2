"""SavedModels: signature, tags and sizes, from `saved_model.pb` and the names of the rest."""

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, VARINT, DamagedError, Data
from tritongen.formats.reading import Reading, Source
from tritongen.formats.tensorflow.tensorflow_types import dtype_of, label_of, shape_of
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.tensors import TensorKind, TensorSpec
from tritongen.system.paths import open_regular

SIGNATURE = "serving_default"
TAG = "serve"
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


def read_savedmodel(source: Source) -> Reading:
    """The facts of one SavedModel folder.

    Raises:
        DamagedError: TG102, its message cannot be read, or it holds no graph.
        OSError: it cannot be opened.
    """
    main = source.file / _MAIN
    if not main.exists():
        return Reading(findings=(_text_form(source),))
    descriptor = open_regular(main)
    try:
        if not os.fstat(descriptor).st_size:
            raise DamagedError(f"{_MAIN} is empty")
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            graphs = list(_graphs(data))
    finally:
        os.close(descriptor)
    served = next((graph for graph in graphs if TAG in graph.tags), None)
    graph = served or (graphs[0] if graphs else None)
    if graph is None:
        raise DamagedError(f"{_MAIN} holds no graph")
    inputs, outputs = graph.signatures.get(SIGNATURE, ((), ()))
    return Reading(
        inputs=inputs,
        outputs=outputs,
        weight_bytes=_variable_bytes(source),
        producer=f"TensorFlow {graph.version}" if graph.version else "",
        findings=tuple(_findings(source, graph, tagged=served is not None)),
    )


def _graphs(data: Data) -> Iterator[MetaGraph]:
    for number, kind, first, last in wire.fields(data, 0, len(data)):
        if number == 2 and kind == LENGTH:
            yield _meta_graph(data, first, last)


def _meta_graph(data: Data, start: int, stop: int) -> MetaGraph:
    graph = MetaGraph()
    for number, kind, first, last in wire.fields(data, start, stop):
        if kind != LENGTH:
            continue
        if number == 1:
            _meta_info(data, first, last, graph)
        elif number == 5 and len(graph.signatures) < _MAX_ENTRIES:
            key, value = _entry(data, first, last)
            if value is not None:
                graph.signatures[key] = _signature(data, *value)
    return graph


def _meta_info(data: Data, start: int, stop: int, graph: MetaGraph) -> None:
    for number, kind, first, last in wire.fields(data, start, stop):
        if number == 4 and kind == LENGTH and len(graph.tags) < _MAX_ENTRIES:
            graph.tags.add(wire.text(data, first, last))
        elif number == 5 and kind == LENGTH:
            graph.version = wire.text(data, first, last)


def _entry(data: Data, start: int, stop: int) -> tuple[str, tuple[int, int] | None]:
    """Key and the span of the value of one entry of a map."""
    key, value = "", None
    for number, kind, first, last in wire.fields(data, start, stop):
        if number == 1 and kind == LENGTH:
            key = wire.text(data, first, last)
        elif number == 2 and kind == LENGTH:
            value = (first, last)
    return key, value


def _signature(
    data: Data, start: int, stop: int
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    sides: Mapping[int, dict[str, TensorSpec]] = {1: {}, 2: {}}
    for number, kind, first, last in wire.fields(data, start, stop):
        if number in sides and kind == LENGTH and len(sides[number]) < _MAX_ENTRIES:
            name, value = _entry(data, first, last)
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


def _variable_bytes(source: Source) -> int:
    folder = source.file / "variables"
    try:
        return sum(
            entry.stat().st_size
            for entry in os.scandir(folder)
            if entry.name.startswith("variables.data-") and entry.is_file()
        )
    except OSError:
        return 0  # a frozen model has none


def _findings(source: Source, graph: MetaGraph, *, tagged: bool) -> Iterator[Finding]:
    if not tagged:
        tags = ", ".join(sorted(graph.tags)) or "none"
        message = f"no graph has the tag {TAG!r}; there is {tags}"
        yield _warning(source, message, f"Set parameter TF_GRAPH_TAG to {tags!r} in the overlay.")
    if SIGNATURE not in graph.signatures:
        names = ", ".join(sorted(graph.signatures)[:5]) or "none"
        yield finding(
            "TG120",
            Severity.ERROR,
            f"the model has no signature {SIGNATURE!r}; it has {names}",
            fix="Save it with signatures={'serving_default': …}.",
            model=source.model,
            path=source.path,
        )


def _warning(source: Source, message: str, fix: str) -> Finding:
    return finding(
        "TG133", Severity.WARNING, message, fix=fix, model=source.model, path=source.path
    )


def _text_form(source: Source) -> Finding:
    return finding(
        "TG105",
        Severity.ERROR,
        "a SavedModel in text form (saved_model.pbtxt)",
        fix="Load and save it again: TensorFlow then writes saved_model.pb.",
        model=source.model,
        path=source.path,
    )
