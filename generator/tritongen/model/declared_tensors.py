"""What the user declares of a model's inputs and outputs, and what its trial saw, put into facts.

Some formats name neither types nor shapes, or not even inputs and outputs. `tritongen.yaml` says
what they are, or the trial finds out; what nobody says is an error, since no configuration can be
written without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tritongen.model.backends.fil import OUTPUT as TREE_OUTPUT
from tritongen.model.backends.pytorch import index_of, takes_dict
from tritongen.model.evidence import ReportedTensor, Trial
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding, Severity
from tritongen.model.intent import DeclaredTensor, ModelIntent
from tritongen.model.tensors import DType, Shape, TensorSpec, is_dynamic, shape_of_dims, show_shape

# Formats whose files leave inputs and outputs, or their types and shapes, to the user.
OPEN_FORMATS = frozenset(
    {
        ModelFormat.TORCHSCRIPT,
        ModelFormat.TORCH_AOTI,
        ModelFormat.TENSORRT,
        ModelFormat.GRAPHDEF,
        ModelFormat.PYTHON,
    }
)
# Of those, the ones whose types and shapes a trial can find.
_FOUND_BY_TRIAL = frozenset({ModelFormat.TORCHSCRIPT, ModelFormat.TORCH_AOTI})

_Declared = Mapping[str, DeclaredTensor]


def with_declared(facts: ModelFacts, intent: ModelIntent) -> ModelFacts:
    """Facts completed by the user's declarations.

    Args:
        facts: from the file.
        intent: what the user says of the model.

    Returns:
        Facts whose inputs and outputs hold the declared types and shapes where the file has none,
        with TG133 where types are still open and TG135 where the declaration contradicts the file.
    """
    if facts.trees is not None:
        facts = _with_tree_output(facts, intent)
    inputs, faults = _merged(facts, "input", facts.inputs, intent.inputs)
    outputs, more = _merged(facts, "output", facts.outputs, intent.outputs)
    merged = replace(facts, inputs=inputs, outputs=outputs)
    findings = [*facts.findings, *faults, *more, *_unknown_axes(merged, intent)]
    if facts.format in OPEN_FORMATS and facts.servable:
        waits = facts.format in _FOUND_BY_TRIAL and bool(inputs)
        findings += _open_findings(merged, Severity.INFO if waits else Severity.ERROR)
    return replace(merged, findings=tuple(findings))


def _unknown_axes(facts: ModelFacts, intent: ModelIntent) -> Iterator[Finding]:
    """Axes of `tritongen.yaml` that are none of the model's dynamic ones."""
    shapes = {spec.name: spec.shape for spec in facts.inputs}
    known = {
        label
        for name, shape in shapes.items()
        for axis, dim in enumerate(shape or ())
        if is_dynamic(dim)
        for label in (str(dim or ""), f"{name}[{axis}]")
    }
    # Where a file says nothing of its inputs, the trial finds the axes.
    for label in sorted(set(intent.axes) - known) if None not in shapes.values() else ():
        has = ", ".join(sorted(known - {""})) or "none"
        message = f"axes.{label}: the model has no such dynamic axis; it has {has}"
        yield facts.finding("TG135", message, field=f"axes.{label}")


def with_observed(facts: ModelFacts, trial: Trial | None) -> ModelFacts:
    """Facts completed by what the trial saw.

    TG133 becomes an error where types are still open: nothing further can find them. What is wrong
    with the file already leaves them open, too.
    """
    faulty = any(i.severity is Severity.ERROR and i.code != "TG133" for i in facts.findings)
    if facts.format not in OPEN_FORMATS or not _is_open(facts) or faulty:
        return facts
    seen = trial if trial is not None and trial.ok else None
    inputs = facts.inputs
    outputs = facts.outputs
    if seen is not None:
        shapes = {item.name: item.dims for item in (*seen.reported_inputs, *seen.reported_outputs)}
        dtypes = {item.name: item.dtype for item in (*seen.inputs, *seen.outputs)}
        if not outputs:
            outputs = tuple(TensorSpec(item.name, None, None) for item in seen.outputs)
        inputs = tuple(_observed(spec, dtypes, shapes) for spec in inputs)
        outputs = tuple(_observed(spec, dtypes, shapes) for spec in outputs)
    completed = replace(facts, inputs=inputs, outputs=outputs)
    kept = [item for item in facts.findings if item.code != "TG133"]
    return replace(completed, findings=(*kept, *_open_findings(completed, Severity.ERROR)))


def with_reported(facts: ModelFacts, trial: Trial | None) -> ModelFacts:
    """Facts with the shapes that the runtime reported in place of those that the file declares."""
    if trial is None:
        return facts
    inputs = reported_shapes(facts.inputs, trial.reported_inputs)
    outputs = reported_shapes(facts.outputs, trial.reported_outputs)
    return replace(
        facts,
        inputs=tuple(replace(spec, shape=shape) for spec, shape in inputs),
        outputs=tuple(replace(spec, shape=shape) for spec, shape in outputs),
    )


def reported_shapes(
    specs: Sequence[TensorSpec], reported: Sequence[ReportedTensor]
) -> tuple[tuple[TensorSpec, Shape | None], ...]:
    """Inputs or outputs, each with the shape that the backend will check against.

    That is the runtime's own view, which may know sizes that the file leaves open; where it has
    reported none, it is what the file declares.
    """
    known = {item.name: item.dims for item in reported}
    result = []
    for spec in specs:
        dims = known.get(spec.name)
        if dims is None:
            shape = spec.shape
        else:
            # Symbols are kept where the file has them: they tell one dynamic axis from another.
            declared = spec.shape if spec.shape and len(spec.shape) == len(dims) else dims
            shape = tuple(
                dim if dim >= 0 else (symbol if isinstance(symbol, str) else None)
                for dim, symbol in zip(dims, declared, strict=True)
            )
        result.append((spec, shape))
    return tuple(result)


def _observed(
    spec: TensorSpec, dtypes: Mapping[str, DType], shapes: Mapping[str, tuple[int, ...]]
) -> TensorSpec:
    dtype, dims = dtypes.get(spec.name), shapes.get(spec.name)
    shape = spec.shape
    if shape is None and dims is not None:
        shape = shape_of_dims(dims)
    return replace(spec, dtype=spec.dtype or dtype, shape=shape)


def _is_open(facts: ModelFacts) -> bool:
    specs = (*facts.inputs, *facts.outputs)
    return not facts.outputs or any(spec.dtype is None or spec.shape is None for spec in specs)


def _open_findings(facts: ModelFacts, severity: Severity) -> list[Finding]:
    """One finding for everything that is not said, None of it hidden behind the first."""
    lacking = [
        f"{role} {spec.name}"
        for role, specs in (("input", facts.inputs), ("output", facts.outputs))
        for spec in specs
        if spec.dtype is None or spec.shape is None
    ]
    if not facts.outputs:
        lacking.append("outputs")
    if not facts.inputs and facts.format is not ModelFormat.PYTHON:
        lacking.insert(0, "inputs")
    if not lacking:
        return []
    subject = ", ".join(lacking[:4]) + (", …" if len(lacking) > 4 else "")
    how = "the trial finds them" if severity is Severity.INFO else "nothing says what they are"
    message = f"the file does not state type and shape of {subject}; {how}"
    return [facts.finding("TG133", message, severity=severity, fix=_example(facts))]


def _example(facts: ModelFacts) -> str:
    spec = next((spec for spec in facts.inputs if spec.dtype is None or spec.shape is None), None)
    name = spec.name if spec is not None else "NAME"
    return (
        f"Declare them in tritongen.yaml: models.{facts.name}.inputs.{name}: "
        "{ dtype: FP32, dims: [-1, 16] }, and outputs alike; dims hold the batch axis."
    )


def _merged(
    facts: ModelFacts, role: str, specs: tuple[TensorSpec, ...], declared: _Declared
) -> tuple[tuple[TensorSpec, ...], list[Finding]]:
    if facts.format in OPEN_FORMATS:
        specs = _named(facts, role, specs, declared)
    faults: list[Finding] = []
    merged = []
    for spec in specs:
        wanted = declared.get(spec.name)
        if wanted is None:
            merged.append(spec)
            continue
        fault = _contradiction(spec, wanted)
        if fault:
            message = f"{role} {spec.name!r}: {fault}"
            faults.append(facts.finding("TG135", message, field=spec.name))
        merged.append(_filled(spec, wanted))
    return tuple(merged), faults


def _filled(spec: TensorSpec, wanted: DeclaredTensor) -> TensorSpec:
    dtype = spec.dtype or wanted.dtype
    shape = spec.shape
    if shape is None and wanted.dims is not None:
        shape = shape_of_dims(wanted.dims)
    return replace(
        spec,
        dtype=dtype,
        shape=shape,
        declared_type=spec.declared_type or (dtype.value if dtype is not None else ""),
    )


def _contradiction(spec: TensorSpec, wanted: DeclaredTensor) -> str:
    """Why the declaration cannot be true, empty when it can."""
    if spec.dtype is not None and wanted.dtype not in {None, spec.dtype}:
        return f"declared as {wanted.dtype}, the model says {spec.dtype}"
    own, dims = spec.shape, wanted.dims
    if own is None or dims is None:
        return ""
    full = dims if len(dims) == len(own) else (-1, *dims)
    if len(full) != len(own) or any(
        not is_dynamic(mine) and theirs not in {mine, -1}
        for mine, theirs in zip(own, full, strict=True)
    ):
        return f"declared as {list(dims)}, the model says {show_shape(own)}"
    return ""


def _named(
    facts: ModelFacts, role: str, specs: tuple[TensorSpec, ...], declared: _Declared
) -> tuple[TensorSpec, ...]:
    """Inputs or outputs under the declared names, in the order in which the model takes them."""
    stated = [name for name, item in declared.items() if item.dtype or item.dims]
    if not stated or {spec.name for spec in specs} >= set(stated):
        return specs
    if not specs or (role == "input" and takes_dict(facts)):
        return tuple(TensorSpec(name, None, None) for name in stated)
    if facts.torch is None:
        known = {spec.name for spec in specs}
        return (*specs, *(TensorSpec(name, None, None) for name in stated if name not in known))
    places = _places(stated, [spec.name for spec in specs], role)
    return tuple(
        replace(spec, name=places.get(position, spec.name)) for position, spec in enumerate(specs)
    )


def _places(stated: list[str], own: list[str], role: str) -> dict[int, str]:
    """Declared names by position, by the backend's rules: arguments, then numbers, then order."""
    if role == "input" and set(stated) <= set(own):
        return {own.index(name): name for name in stated}
    if all(index_of(name) is not None for name in stated):
        return {index_of(name) or 0: name for name in stated}
    return dict(enumerate(stated))


def _with_tree_output(facts: ModelFacts, intent: ModelIntent) -> ModelFacts:
    """Classes instead of probabilities, where the output's declared width or a parameter asks."""
    trees = facts.trees
    if trees is None or not trees.classifies:
        return facts
    parameters = intent.overlay.get("parameters")
    entry = parameters.get("predict_proba") if isinstance(parameters, Mapping) else None
    text = entry.get("string_value") if isinstance(entry, Mapping) else None
    declared = intent.outputs.get(TREE_OUTPUT)
    narrow = declared is not None and declared.dims is not None and declared.dims[-1:] == (1,)
    if text != "false" and not (narrow and trees.classes > 2):
        return facts
    outputs = tuple(
        replace(spec, shape=(*(spec.shape or (None,))[:1], 1)) if spec.name == TREE_OUTPUT else spec
        for spec in facts.outputs
    )
    return replace(facts, outputs=outputs, trees=replace(trees, probabilities=False))
