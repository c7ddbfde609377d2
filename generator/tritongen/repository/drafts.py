"""Drafts: `tritongen.yaml` from what a folder holds, and steps in Python around a model."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from tritongen.errors import InvalidInputError
from tritongen.formats.discovery import name_fault
from tritongen.formats.onnx_tables import table_rows
from tritongen.intent import INTENT_FILE
from tritongen.model.cores import budget_of
from tritongen.model.declared_tensors import with_observed
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import DEFAULT_TRITON, Intent
from tritongen.model.printable import json_text
from tritongen.model.releases import find
from tritongen.model.sequence_states import likely_states
from tritongen.model.tensors import DType, Shape, TensorSpec, show_shape
from tritongen.repository.project import Project, model_named
from tritongen.resources import plain_template
from tritongen.system.files import translated, write_atomic
from tritongen.system.machine import read_cpus
from tritongen.system.sample_files import SUFFIXES

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
MODEL_FILE = "model.py"
LABELS_FILE = "labels.txt"
_BATCH = 8
_SIDE = 224
_LENGTH = 128
_TOP = 5
# Of BERT, where neither the model nor tritongen.yaml tells.
_USUAL_VOCABULARY = 30522
_BOUND = re.compile(r"\s*int\s*\[\s*0\s*,\s*(\d+)\s*\)\s*")
# Means and deviations of ImageNet, which most models of three channels were trained with.
_MEAN, _DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_FLOATS = frozenset({DType.FP32, DType.FP16, DType.FP64})
_INTEGERS = frozenset({DType.INT64, DType.INT32})
_UNSAFE = re.compile(r"[^\w .,:/\[\]()-]")


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted file.

    Attributes:
        path: of the file.
        text: of it.
        models: names in it.
        suffixes: of files that are weights.
    """

    path: Path
    text: str
    models: tuple[str, ...]
    suffixes: frozenset[str] = frozenset()


def draft_intent(root: Path, *, force: bool) -> Draft:
    """The text of a `tritongen.yaml` for a folder.

    Args:
        root: the models folder.
        force: draft even when the file exists.

    Raises:
        InvalidInputError: TG703 the file exists; TG101 no models.
    """
    from tritongen.formats import inspect_folder

    path = root / INTENT_FILE
    if path.exists() and not force:
        raise InvalidInputError(
            "TG703", "exists already", where=str(path), fix="Edit it, or draft anew with --force."
        )
    models = inspect_folder(root, find(DEFAULT_TRITON), intent=Intent()).models
    text = plain_template("tritongen.yaml.j2").render(
        triton=DEFAULT_TRITON,
        cores=budget_of(read_cpus()).value,
        models=[_entry(model, root) for model in models],
    )
    names = tuple(model.name for model in models)
    return Draft(path, text, names, frozenset(_suffixes(models)))


def _suffixes(models: Sequence[ModelFacts]) -> Iterator[str]:
    for model in models:
        for version in model.versions:
            yield from (Path(ref.source).suffix for ref in version.files)


def _entry(model: ModelFacts, root: Path) -> dict[str, object]:
    return {
        "name": _key(model.name),
        "format": model.format.value,
        "servable": model.servable,
        "states": _states(model),
        "samples": next(_samples(model, root), ""),
        "reason": next(
            (_line(item.message) for item in model.findings if item.severity == "error"), ""
        ),
    }


def _samples(model: ModelFacts, root: Path) -> Iterator[str]:
    """Files and folders that look like samples of a model, relative to the models folder."""
    inside, name = model.path, model.name
    for stem in (f"{inside}/samples", f"{inside}/{name}", f"samples/{name}", name):
        if not _PLAIN.fullmatch(stem):
            continue
        yield from (stem + end for end in SUFFIXES if (root / f"{stem}{end}").is_file())
        if "samples" in stem.split("/") and (root / stem).is_dir():
            yield stem


def _key(name: str) -> str:
    """A model's name as a key of YAML; names were made printable when they were listed."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _line(text: str) -> str:
    """Text that may hold words of a runtime's or a file's, for a comment of one line."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def _states(model: ModelFacts) -> str:
    """Likely states as YAML; empty for none, or for names that would not stand in a comment."""
    pairs = likely_states(model)
    names = [name for pair in pairs for name in pair]
    if not all(_PLAIN.fullmatch(name) for name in names):
        return ""
    return ", ".join(f"{name}: {output}" for name, output in pairs)


class ScaffoldKind(StrEnum):
    """What a step is for."""

    IMAGE = "image"
    TEXT = "text"
    TABLE = "table"
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """A drafted step.

    Attributes:
        name: of the new model.
        files: text by path, relative to the models folder.
        pipeline: what to add to tritongen.yaml.
    """

    name: str
    files: Mapping[str, str]
    pipeline: str


_Values = dict[str, object]


def draft_step(project: Project, kind: ScaffoldKind, model: str, name: str = "") -> Scaffold:
    """The files of a step for a model, and the pipeline of both.

    Args:
        project: with the model; its lock, where there is one, knows what files do not say.
        kind: of the step.
        model: its name.
        name: of the new model; empty for ``<model>_<kind>``.

    Raises:
        InvalidInputError: TG306 no such model; TG106 the name cannot be served; TG370 the model
            has no tensor that such a step gives or takes.
    """
    facts = _facts(project, model)
    name = name or f"{model}_{kind.value}"
    fault = name_fault(name)
    if fault is not None:
        raise InvalidInputError(fault.code, fault.message, fix=fault.fix)
    values_of, wanted = _STEPS[kind]
    values = values_of(facts)
    if values is None:
        raise InvalidInputError(
            "TG370", f"{model} has {_listed(facts)}: {wanted}", where=facts.path
        )
    template = plain_template(f"steps/{kind.value}.py.j2")
    more = {"model": model, "batch": _BATCH, "subject": _subject(values)}
    if kind is ScaffoldKind.TEXT:
        more["vocabulary"] = _vocabulary(project, facts) or _USUAL_VOCABULARY
    files = {f"{name}/{MODEL_FILE}": template.render(values | more)}
    classes = values.get("classes")
    if isinstance(classes, int):
        labels = "".join(f"class {number}\n" for number in range(classes))
        files[f"{name}/{LABELS_FILE}"] = labels
    return Scaffold(name, files, _pipeline(facts, kind, name))


def write_step(root: Path, step: Scaffold, *, force: bool) -> None:
    """Write a step into the models folder.

    Raises:
        InvalidInputError: TG703, a file exists and `force` is not set; nothing was written.
        EnvironmentProblem: TG004 or TG005, the folder cannot be written.
    """
    for path in step.files:
        if (root / path).exists() and not force:
            raise InvalidInputError(
                "TG703", "exists already", where=str(root / path), fix="Replace it with --force."
            )
    with translated(root):
        for path, text in step.files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target, text.encode())


def _facts(project: Project, model: str) -> ModelFacts:
    facts = model_named(model, project.models, project.root)
    seen = project.lock.evidence.models.get(model) if project.lock is not None else None
    return with_observed(facts, seen.trial if seen is not None else None)


def _subject(values: _Values) -> str:
    """Names of the tensors where the two models meet, safe in a docstring."""
    met = values.get("outputs") or values.get("inputs")
    names = [str(item["name"]) for item in met] if isinstance(met, list) else []
    return _UNSAFE.sub("?", ", ".join(names))


def _tensor(spec: TensorSpec, rest: Sequence[int]) -> _Values:
    dtype = spec.dtype or DType.FP32
    return {
        "name": spec.name,
        "dtype": dtype.config_name,
        "numpy": dtype.numpy_name,
        "dims": list(rest),
    }


def _sizes(shape: Shape | None, default: int) -> list[int]:
    """Sizes after the batch axis, the default where they are dynamic."""
    return [dim if isinstance(dim, int) and dim > 0 else default for dim in (shape or ())[1:]]


def _of(specs: Sequence[TensorSpec], dtypes: frozenset[DType], rank: int) -> list[TensorSpec]:
    return [spec for spec in specs if spec.dtype in dtypes and spec.rank == rank]


def _image(facts: ModelFacts) -> _Values | None:
    found = _of(facts.inputs, _FLOATS, 4)
    if len(facts.inputs) != 1 or not found:
        return None
    shape = found[0].shape or ()
    # Three or fewer of the last axis are channels, unless the first one has as few.
    last = isinstance(shape[3], int) and shape[3] <= 4
    first = not (last and not (isinstance(shape[1], int) and shape[1] <= 4))
    channels = shape[1 if first else 3]
    channels = channels if isinstance(channels, int) else 3
    sides = _sizes(shape, _SIDE)
    height, width = sides[1:] if first else sides[:2]
    dims = [channels, height, width] if first else [height, width, channels]
    plain = channels != 3
    return {
        "outputs": [_tensor(found[0], dims)],
        "channels": channels,
        "channels_first": first,
        "height": height,
        "width": width,
        "mean": [0.5] * channels if plain else _MEAN,
        "deviation": [0.5] * channels if plain else _DEVIATION,
    }


def _text(facts: ModelFacts) -> _Values | None:
    found = _of(facts.inputs, _INTEGERS, 2)
    if not found or len(found) < len(facts.inputs):
        return None
    length = min((_sizes(spec.shape, _LENGTH)[0] for spec in found), default=_LENGTH)
    outputs = [_tensor(spec, [length]) | {"part": _part(spec.name)} for spec in found]
    return {"outputs": outputs, "length": length}


def _vocabulary(project: Project, facts: ModelFacts) -> int:
    """Token numbers that the model knows: as stated, else by the table they are looked up in."""
    tokens = [spec.name for spec in facts.inputs if _part(spec.name) == "ids"]
    declared = project.intent.of(facts.name).inputs
    stated = [declared[name].values for name in tokens if name in declared]
    bounds = [int(found[1]) for text in stated if (found := _BOUND.fullmatch(text))]
    if bounds or facts.format is not ModelFormat.ONNX:
        return min(bounds, default=0)
    rows = table_rows(project.root / facts.versions[-1].files[0].source)
    return min((rows[name] for name in tokens if name in rows), default=0)


def _part(name: str) -> str:
    lower = name.lower()
    if "mask" in lower:
        return "mask"
    return "segments" if "type" in lower or "segment" in lower else "ids"


def _table(facts: ModelFacts) -> _Values | None:
    found = _of(facts.inputs, _FLOATS, 2)
    if len(facts.inputs) != 1 or not found:
        return None
    columns = (found[0].shape or ())[1]
    if not isinstance(columns, int):
        return None
    return {"outputs": [_tensor(found[0], [columns])], "columns": columns}


def _labels(facts: ModelFacts) -> _Values | None:
    scores = [
        spec
        for spec in _of(facts.outputs, _FLOATS, 2)
        if isinstance((spec.shape or ())[1], int) and (spec.shape or ())[1] != 1
    ]
    if not scores:
        return None
    classes = (scores[-1].shape or ())[1]
    assert isinstance(classes, int)  # noqa: S101  (chosen so above)
    probabilities = facts.trees is not None or "prob" in scores[-1].name.lower()
    return {
        "inputs": [_tensor(scores[-1], [classes])],
        "classes": classes,
        "top": min(_TOP, classes),
        "softmax": not probabilities,
    }


# What fills a step's template, None where the model has no such tensor, and what is wanted.
_STEPS: Mapping[ScaffoldKind, tuple[Callable[[ModelFacts], _Values | None], str]] = (
    MappingProxyType(
        {
            ScaffoldKind.IMAGE: (_image, "an image step gives one float input of four axes"),
            ScaffoldKind.TEXT: (_text, "a text step gives integer inputs of two axes"),
            ScaffoldKind.TABLE: (_table, "a table step gives one float input [rows, columns]"),
            ScaffoldKind.LABELS: (_labels, "a labels step takes one float output [rows, classes]"),
        }
    )
)


def _listed(facts: ModelFacts) -> str:
    specs = [*(("input", spec) for spec in facts.inputs), *(("output", s) for s in facts.outputs)]
    return ", ".join(
        f"{role} {spec.name} {spec.dtype or '?'} {show_shape(spec.shape)}" for role, spec in specs
    )


def _pipeline(facts: ModelFacts, kind: ScaffoldKind, name: str) -> str:
    """Tensors meet by their names: a step's are those of its model."""
    after = kind is ScaffoldKind.LABELS
    steps = (facts.name, name) if after else (name, facts.name)
    outputs = ["LABEL", "SCORE"] if after else [spec.name for spec in facts.outputs]
    lines = ["pipelines:", f"  {facts.name}_with_{kind.value}:", "    steps:"]
    lines += [f"      - model: {json_text(step)}" for step in steps]
    listed = ", ".join(json_text(output) for output in outputs)
    lines += [f"    outputs: [{listed}]", ""]
    if kind is ScaffoldKind.TABLE:
        # Texts that are no numbers would all become the same row, and nothing could be proven.
        values = '{ ROW: { values: "choice(0,1,2.5)" } }'
        lines += ["models:", f"  {name}:", f"    inputs: {values}", ""]
    return "\n".join(lines)
