"""A user's samples in a trial: read in the parent, sent along, and fed in the child."""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from tritongen.model.facts import ModelFacts
from tritongen.model.intent import DeclaredTensor, ModelIntent
from tritongen.model.samples import FEWEST_REAL_ROWS, Array, InputRecipe, make_inputs
from tritongen.model.tensors import TensorSpec, is_dynamic
from tritongen.system.sample_files import SampleFiles, spread
from tritongen.trial.child_request import TrialRequest
from tritongen.trial.frames import write_frame
from tritongen.trial.preparation import declared_shape
from tritongen.trial.runtime import LoadedModel, RuntimeRefusal
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.sample_tensors import Sample, by_sizes, read_rows
from tritongen.triton.tensor_bytes import dtype_of

# Chosen: what a trial has the time to run, and what a child may be sent.
_MAX_SAMPLES = 64
_MAX_BYTES = 64 * 2**20

Inputs = Mapping[str, Array]


def read_for_trial(
    given: SampleFiles, facts: ModelFacts, intent: ModelIntent
) -> tuple[tuple[Sample, ...], str]:
    """Samples to feed, those of the commonest sizes first, and how many of how many they are.

    Raises:
        InvalidInputError: TG906, they cannot be read or do not fit the model.
    """
    inputs = tuple(_meta(spec, intent) for spec in facts.inputs)
    outputs = tuple(_meta(spec, intent) for spec in facts.outputs)
    meta = ModelMeta(facts.name, (), "", inputs, outputs)
    every = read_rows(given, meta, batches=False)
    size = max(1, sum(array.nbytes for array in every[0].inputs.values()))
    used = spread(every, max(1, min(_MAX_SAMPLES, _MAX_BYTES // size)))
    groups = by_sizes(used)
    covered = {spec.name for spec in facts.inputs} <= groups[0][0].inputs.keys()
    more = "" if covered and len(groups[0]) >= FEWEST_REAL_ROWS else " and made-up values"
    total = given.found if given.found > len(given.files) else len(every)
    few = f"{len(used):,} of {total:,}" if total > len(used) else f"{total:,}"
    words = f"{few} sample{'s' if total > 1 else ''}{more}"
    return tuple(one for group in groups for one in group), words


def _meta(spec: TensorSpec, intent: ModelIntent) -> TensorMeta:
    """As a server would describe it; without a type where the file leaves it or the rank open."""
    declared = intent.inputs.get(spec.name) or intent.outputs.get(spec.name)
    dtype = (declared.dtype if declared is not None else None) or spec.dtype
    shape = declared_shape(spec.shape, declared.dims if declared is not None else None, spec.name)
    if dtype is None or shape is None:
        return TensorMeta(spec.name, "", ())
    return TensorMeta(
        spec.name, dtype.value, tuple(-1 if is_dynamic(dim) else int(dim or 0) for dim in shape)
    )


def with_sample(
    facts: ModelFacts, intent: ModelIntent, first: Sample
) -> tuple[ModelFacts, ModelIntent]:
    """Facts with what a file leaves open of its inputs, and the intent with a sample's sizes."""
    given = first.inputs
    sizes = {
        name: replace(intent.inputs.get(name, DeclaredTensor(name)), shape=array.shape)
        for name, array in given.items()
    }
    specs = tuple(
        replace(spec, dtype=dtype_of(given[spec.name]), shape=(None,) * given[spec.name].ndim)
        if spec.name in given and (spec.dtype is None or spec.shape is None)
        else spec
        for spec in facts.inputs
    )
    return replace(facts, inputs=specs), replace(intent, inputs={**intent.inputs, **sizes})


def sample_frame(samples: Sequence[Sample]) -> bytes:
    """The samples' inputs for a child; see `sent_samples`."""
    stream = io.BytesIO()
    arrays = {
        f"{index} {name}": array
        for index, sample in enumerate(samples)
        for name, array in sample.inputs.items()
    }
    write_frame(stream, {}, arrays)
    return stream.getvalue()


def sent_samples(request: TrialRequest, arrays: Inputs) -> tuple[Sample, ...]:
    """The samples of a frame."""
    inputs: list[dict[str, Array]] = [{} for _ in request.samples]
    for key, array in arrays.items():
        index, _, name = key.partition(" ")
        inputs[int(index)][name] = array
    return tuple(Sample(place, one, {}) for place, one in zip(request.samples, inputs, strict=True))


def real_rows(samples: Sequence[Sample]) -> dict[str, Array]:
    """What samples of the first one's sizes hold, by input: rows, or whole arrays stacked."""
    if not samples:
        return {}
    same = [one.inputs for one in by_sizes(samples)[0]]
    first = same[0]
    rows = all(array.shape[:1] == (1,) for array in first.values())
    join = np.concatenate if rows else np.stack
    return {name: join([one[name] for one in same]) for name in first}


def run_samples(
    model: LoadedModel,
    samples: Sequence[Sample],
    recipes: Sequence[InputRecipe],
    seed: int,
    deadline: float,
) -> None:
    """Run every sample as it came, as long as there is time.

    Raises:
        RuntimeRefusal: the model refuses one, or has no answer to it; the message names it.
    """
    made = make_inputs(recipes, seed)
    covered = all(sample.inputs.keys() >= made.keys() for sample in samples)
    # What is generated for other inputs has the sizes of the first samples.
    for sample in samples if covered or not samples else by_sizes(samples)[0]:
        if time.monotonic() > deadline:
            return
        with naming(sample):
            outputs = model.run({name: sample.inputs.get(name, made[name]) for name in made})
            if _holds_nan(sample.inputs) and _holds_nan(outputs):
                raise RuntimeRefusal("it holds NaN, and so does the answer; take it out")


@contextmanager
def naming(*samples: Sample) -> Iterator[None]:
    """A refusal says that it was on the first of these samples, where there is one."""
    try:
        yield
    except RuntimeRefusal as refusal:
        if samples:
            refusal.message = f"on {samples[0].place}: {refusal.message}"
        raise


def _holds_nan(arrays: Inputs) -> bool:
    return any(
        bool(np.isnan(array.astype(np.float64)).any())
        for array in arrays.values()
        if array.dtype.kind in "fV"
    )
