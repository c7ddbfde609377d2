"""Sequences: states that the server keeps, controls that it feeds, and how requests are batched."""

import math
from collections.abc import Iterator

from tritongen.model.backends.pytorch import index_of
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.sequence_intent import SequenceControl, SequenceIntent, SequenceStrategy
from tritongen.model.sequence_states import initial_file
from tritongen.model.serving_plan import (
    Planned,
    PlannedTensor,
    Reason,
    SequencePlan,
    SequenceState,
    Source,
)
from tritongen.model.tensors import DType, Shape, TensorSpec, show_shape, wire_dims
from tritongen.planner.batching import BatchPlan
from tritongen.planner.context import ModelInput, decided

# Without a number in tritongen.yaml: room for sequences costs no more than their states' memory.
CANDIDATES = 32
# A client may pause, and networks do; Triton's own limit of one second drops a sequence too soon.
IDLE_US = 10_000_000
_BOOLEAN_TYPES = (DType.FP32, DType.INT32, DType.BOOL)
_ID_TYPES = (DType.UINT64, DType.INT64, DType.UINT32, DType.INT32, DType.BYTES)

_Specs = dict[str, tuple[TensorSpec, Shape | None]]


def sequence_batch(model: ModelInput, batch: BatchPlan, instances: int) -> BatchPlan:
    """The batch plan of a model whose executions the sequence batcher forms.

    Every request has one row, so that the size says how many sequences share an execution.
    """
    sequence = model.intent.sequence
    if sequence is None:
        return batch
    off = Reason(Source.INTENT, "the sequence batcher forms the batches")
    size = batch.max_batch_size
    limit = model.intent.max_batch_size
    if size.value > 0 and sequence.strategy is SequenceStrategy.DIRECT and limit is None:
        wanted = math.ceil((sequence.concurrent or CANDIDATES) / instances)
        size = decided(wanted, Source.INTENT, "a row for each sequence that an instance holds")
    elif size.value > 0 and batch.batching is None and model.tuned is None and limit is None:
        why = "a request has one row, and merging sequences was not seen to gain anything"
        size = decided(1, size.reason.source, why, size.reason.numbers)
    return BatchPlan(size, None, off)


def client_tensors(
    model: ModelInput, inputs: tuple[PlannedTensor, ...], outputs: tuple[PlannedTensor, ...]
) -> tuple[tuple[PlannedTensor, ...], tuple[PlannedTensor, ...]]:
    """Inputs and outputs without those that stay between the server and the model."""
    sequence = model.intent.sequence
    if sequence is None:
        return inputs, outputs
    kept = set(sequence.state.values())
    return (
        tuple(item for item in inputs if item.name not in sequence.own_inputs),
        tuple(item for item in outputs if item.name not in kept),
    )


def plan_sequence(model: ModelInput, batch: BatchPlan, instances: int) -> SequencePlan | None:
    """The sequence batcher's part of the plan; None where requests are independent."""
    sequence = model.intent.sequence
    if sequence is None:
        return None
    batching = batch.max_batch_size.value > 0
    given = {spec.name: (spec, shape) for spec, shape in model.shapes_in()}
    states = tuple(
        _state(name, output, given, batching, sequence.initial.get(name, ""))
        for name, output in sequence.state.items()
        if name in given
    )
    controls = tuple(
        (control, name, given[name][0].dtype or DType.FP32)
        for control, name in sequence.controls.items()
        if name in given
    )
    why = "requests of a sequence go to one instance, which keeps their state"
    return SequencePlan(
        idle_us=_idle(sequence),
        candidates=_candidates(sequence, instances),
        states=states,
        controls=controls,
        reason=Reason(Source.INTENT, why),
    )


def _state(name: str, output: str, given: _Specs, batching: bool, file: str) -> SequenceState:
    spec, shape = given[name]
    dims = wire_dims((shape or ())[1 if batching else 0 :]) or (1,)
    initial = tuple(max(dim, 1) for dim in dims)
    begins = f"{file} begins" if file else f"zeros of {list(initial)} begin"
    sentence = f"{begins} a sequence"
    if -1 in dims:
        sentence += "; Triton takes 1 for a dynamic size"
    return SequenceState(
        name,
        output,
        spec.dtype or DType.FP32,
        dims,
        initial,
        Reason(Source.MODEL, f"the model's {show_shape(shape)}; {sentence}"),
        initial_file(file),
    )


def _idle(sequence: SequenceIntent) -> Planned[int]:
    if sequence.idle_ms is not None:
        value = max(1, round(sequence.idle_ms * 1000))
        sentence = f"{sequence.idle_ms / 1000:g} s: stated in tritongen.yaml"
        return Planned(value, Reason(Source.INTENT, sentence))
    sentence = f"{IDLE_US // 1_000_000} s: a pause loses the state; Triton's own limit is 1 s"
    return Planned(IDLE_US, Reason(Source.RULE, sentence))


def _candidates(sequence: SequenceIntent, instances: int) -> Planned[int] | None:
    if sequence.strategy is SequenceStrategy.DIRECT:
        return None
    if sequence.concurrent is None:
        sentence = f"{CANDIDATES} sequences per instance; further ones wait until one has ended"
        return Planned(CANDIDATES, Reason(Source.RULE, sentence))
    each = math.ceil(sequence.concurrent / instances)
    why = f"{sequence.concurrent} sequences over {instances} instances"
    return decided(each, Source.INTENT, why)


def sequence_findings(model: ModelInput, batching: bool) -> tuple[Finding, ...]:
    """Everything in `sequence` that the model or its backend cannot give."""
    sequence = model.intent.sequence
    if sequence is None:
        return ()
    name = model.facts.name
    return tuple(
        finding("TG318", Severity.ERROR, message, model=name, field=f"models.{name}.sequence{path}")
        for path, message in _faults(model, sequence, batching)
    )


def _faults(
    model: ModelInput, sequence: SequenceIntent, batching: bool
) -> Iterator[tuple[str, str]]:
    given = {spec.name: (spec, shape) for spec, shape in model.shapes_in()}
    made = {spec.name: (spec, shape) for spec, shape in model.shapes_out()}
    if sequence.state and not model.backend.states:
        yield ".state", f"the {model.backend.name} backend hands no state back to the server"
    for name, output in sequence.state.items():
        path = f".state.{name}"
        if name not in given:
            yield path, f"the model has no input {name!r}; it has {', '.join(given)}"
        elif output not in made:
            yield path, f"the model has no output {output!r}; it has {', '.join(made)}"
        else:
            yield from _pair(path, given[name], made[output])
    for control, name in sequence.controls.items():
        path = f".controls.{control.value}"
        if name not in given:
            yield path, f"the model has no input {name!r}; it has {', '.join(given)}"
        else:
            yield from _control(path, control, given[name], batching)
    if made and set(made) <= set(sequence.state.values()):
        yield ".state", "every output is a state, so that a response would be empty"
    if given and set(given) <= sequence.own_inputs:
        yield "", "every input is a state or a control, so that a request would be empty"
    if model.backend.name == "pytorch":
        names = [*given, *made]
        unnumbered = [name for name in names if index_of(name) is None]
        if unnumbered:
            listed = ", ".join(unnumbered)
            yield "", f"with sequences, pytorch requires names such as INPUT__0, not {listed}"


def _pair(
    path: str, given: tuple[TensorSpec, Shape | None], made: tuple[TensorSpec, Shape | None]
) -> Iterator[tuple[str, str]]:
    (taken, shape), (new, other) = given, made
    if taken.dtype is not new.dtype:
        yield path, f"{taken.name} is {taken.dtype} and {new.name} is {new.dtype}"
    if shape is None or other is None:
        return
    fits = len(shape) == len(other) and all(
        not (isinstance(a, int) and isinstance(b, int)) or a == b
        for a, b in zip(shape, other, strict=True)
    )
    # An output whose rank the runtime cannot tell is reported without axes.
    if other and not fits:
        yield path, f"{taken.name} is {show_shape(shape)} and {new.name} is {show_shape(other)}"


def _control(
    path: str,
    control: SequenceControl,
    given: tuple[TensorSpec, Shape | None],
    batching: bool,
) -> Iterator[tuple[str, str]]:
    spec, shape = given
    types = _ID_TYPES if control is SequenceControl.ID else _BOOLEAN_TYPES
    if spec.dtype is not None and spec.dtype not in types:
        listed = ", ".join(item.value for item in types)
        yield path, f"{spec.name} is {spec.dtype}; Triton feeds {listed}"
    if shape is None:
        return
    own = shape[1:] if batching else shape
    if own != (1,):
        axis = " after the batch axis" if batching else ", as no batch axis is proven"
        yield path, f"{spec.name} is {show_shape(shape)}; Triton feeds one value{axis}: [1]"
