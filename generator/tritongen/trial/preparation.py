"""From a model's facts and what the user asks for to the child's request.

Where a file does not describe its inputs, types and ranks to try stand in, the likelier first.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path, PurePosixPath

from tritongen.errors import InvalidInputError
from tritongen.model.backends import backend_for
from tritongen.model.cores import budget_of
from tritongen.model.facts import ModelFacts, ModelFormat, precision_of
from tritongen.model.input_values import parse_values
from tritongen.model.intent import DEFAULT_TRITON, DeclaredTensor, ModelIntent
from tritongen.model.tensors import Dim, DType, Shape, TensorKind, TensorSpec, is_dynamic
from tritongen.system.machine import read_cpus
from tritongen.trial.child_request import MEASURED_BATCHES, Feed, Limits, TrialOptions, TrialRequest
from tritongen.trial.runtime import DeclaredInterface
from tritongen.trial.target_library import target_library

# Virtual memory is spent on mapped files, stacks and reserves of the allocator, not only on data.
_ADDRESS_SPARE_BYTES = 2 * 2**30
_ADDRESS_PER_THREAD_BYTES = 256 * 2**20
# Operators divided by the critical path; below it, running them side by side cannot pay.
_PARALLEL = 1.5
# Formats whose inputs can be found by running with guesses.
_GUESSED = frozenset({ModelFormat.TORCHSCRIPT, ModelFormat.TORCH_AOTI})
# Chosen: mixtures of several inputs, and ideas for one, that a trial has the time to try.
_MAX_MIXTURES = 48
_MAX_IDEAS = 9
_COUNTS = {
    "ids", "id", "token", "tokens", "mask", "index", "indices", "length", "lengths",
    "position", "positions", "type", "types", "labels", "idx",
}  # fmt: skip
_TABLES = {"emb", "embed", "embedding", "embeddings", "token", "tokens", "vocab", "wte", "word"}

Guess = tuple[DType, Shape]


def unfed_input(facts: ModelFacts, intent: ModelIntent) -> TensorSpec | None:
    """The first required input that cannot be generated, None when there is none."""
    if facts.format in _GUESSED:
        return None
    return next((spec for spec in facts.inputs if not _can_feed(spec, intent)), None)


def _can_feed(spec: TensorSpec, intent: ModelIntent) -> bool:
    if spec.optional or spec.kind is TensorKind.OPTIONAL:
        return True
    declared = intent.inputs.get(spec.name)
    dtype = declared.dtype if declared is not None and declared.dtype else spec.dtype
    return spec.kind is TensorKind.TENSOR and dtype is not None


def make_request(
    facts: ModelFacts, root: Path, intent: ModelIntent, options: TrialOptions
) -> TrialRequest:
    """The request for one trial; see `run_trial` for the arguments and errors."""
    threads = max(1, min(options.cores, budget_of(read_cpus()).value))
    feeds, guesses = _feeds(facts, intent)
    return TrialRequest(
        format=facts.format,
        path=os.fspath(_model_path(facts, root)),
        inputs=feeds,
        batch=intent.batch,
        precision=precision_of(facts),
        dynamic_quantization=facts.onnx is not None and facts.onnx.dynamic_quantization,
        parallel=facts.graph is not None and facts.graph.parallelism >= _PARALLEL,
        threads=threads,
        seed=options.seed,
        limits=child_limits(facts, options, threads),
        most_rows=_most_rows(facts, intent),
        axes=intent.axes,
        guesses=guesses,
        open_shapes=facts.format in _GUESSED,
        interface=DeclaredInterface(
            inputs=tuple(TensorSpec(feed.name, feed.dtype, feed.shape) for feed in feeds),
            outputs=facts.outputs,
            parameters=_parameters(facts, intent),
            max_batch_size=(facts.python.max_batch_size or 0) if facts.python is not None else 0,
            decoupled=_decoupled(facts, intent),
        ),
        packages=packages_for([facts], options),
    )


def packages_for(models: Iterable[ModelFacts], options: TrialOptions) -> str:
    """The folder that a child which runs the models imports from first; empty for none."""
    if all(facts.format is not ModelFormat.ONNX for facts in models):
        return ""
    return target_library(options.onnxruntime, options.progress).folder


def _most_rows(facts: ModelFacts, intent: ModelIntent) -> int:
    """Rows that max_batch_size will allow at most, as far as it is known before the trial."""
    own = facts.python.max_batch_size if facts.python is not None else None
    limits = [limit for limit in (intent.max_batch_size, own) if limit]
    return min(limits, default=max(MEASURED_BATCHES[-1], intent.most_rows))


def child_limits(facts: ModelFacts, options: TrialOptions, threads: int) -> Limits:
    """What a child that runs the model may take."""
    address_space = options.memory_limit(facts) + 2 * facts.weight_bytes + _ADDRESS_SPARE_BYTES
    return Limits(
        timeout_s=options.timeout_s,
        time_budget_s=options.time_budget_s,
        threads=threads,
        address_space=address_space + (threads + 1) * _ADDRESS_PER_THREAD_BYTES,
        parent=os.getpid(),
    )


def _decoupled(facts: ModelFacts, intent: ModelIntent) -> bool:
    """What the configuration will say of a Python model, as far as it is known before the trial."""
    policy = intent.overlay.get("model_transaction_policy")
    if isinstance(policy, Mapping) and "decoupled" in policy:
        return policy["decoupled"] is True
    return facts.python is not None and facts.python.is_decoupled


def _feeds(
    facts: ModelFacts, intent: ModelIntent
) -> tuple[tuple[Feed, ...], tuple[tuple[Feed, ...], ...]]:
    """What to feed, and what to feed instead when that does not run."""
    specs = [spec for spec in facts.inputs if not spec.optional and spec.kind is TensorKind.TENSOR]
    if facts.format not in _GUESSED:
        return tuple(_feed(spec, intent, facts.name) for spec in specs), ()
    examples = facts.torch.examples if facts.torch is not None else ()
    sizes = examples if len(examples) == len(specs) else (None,) * len(specs)
    tried = [
        tuple(
            _sized(_feed(replace(spec, dtype=dtype, shape=shape), intent, facts.name), example)
            for spec, (dtype, shape), example in zip(specs, guess, sizes, strict=True)
        )
        for guess in guess_inputs(facts, specs)
    ]
    return (tried[0], tuple(tried[1:])) if tried else ((), ())


def _sized(feed: Feed, example: tuple[int, ...] | None) -> Feed:
    """The feed with the sizes that the model was traced with, where the user states none."""
    if example is None or feed.sizes is not None or feed.shape is None:
        return feed
    fits = len(example) == len(feed.shape) and 0 not in example
    return replace(feed, sizes=example) if fits else feed


def _parameters(facts: ModelFacts, intent: ModelIntent) -> dict[str, str]:
    """The backend's parameters that a configuration will state, the user's own last."""
    backend = backend_for(facts.format)
    found = {}
    if backend is not None:
        found = {item.key: item.value for item in backend.settings(facts, DEFAULT_TRITON)}
    given = intent.overlay.get("parameters")
    for key, entry in given.items() if isinstance(given, Mapping) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("string_value"), str):
            found[str(key)] = entry["string_value"]
    return found


def _model_path(facts: ModelFacts, root: Path) -> Path:
    source = facts.path
    if facts.versions and facts.versions[-1].files:
        source = facts.versions[-1].files[0].source
    relative = PurePosixPath(source)
    if relative.is_absolute() or ".." in relative.parts:
        raise InvalidInputError("TG107", "the model's path leaves its folder", where=facts.name)
    return Path.cwd() / root / relative


def _feed(spec: TensorSpec, intent: ModelIntent, model: str) -> Feed:
    where = f"models.{model}.inputs.{spec.name}"
    declared = intent.inputs.get(spec.name, DeclaredTensor(spec.name))
    dtype = declared.dtype or spec.dtype
    if dtype is None:
        raise InvalidInputError("TG304", "has no element type; declare `dtype`", where=where)
    if declared.values:
        _check_values(declared.values, dtype, where)
    shape = declared_shape(spec.shape, declared.dims, f"{where}.dims")
    sizes = _sizes(shape, declared.shape, f"{where}.shape")
    return Feed(spec.name, dtype, shape, sizes, declared.values)


def _check_values(text: str, dtype: DType, where: str) -> None:
    try:
        parse_values(text, dtype)
    except InvalidInputError as error:
        raise InvalidInputError(
            error.code, error.what, where=f"{where}.values", fix=error.fix
        ) from None


def declared_shape(own: Shape | None, dims: tuple[int, ...] | None, where: str) -> Shape | None:
    """The model's shape, its open axes filled in from the user's dims.

    Dims may leave the batch axis out.
    """
    if dims is None:
        return own
    wanted: tuple[Dim, ...] = tuple(dim if dim >= 0 else None for dim in dims)
    if own is None:
        return wanted
    if len(wanted) == len(own) - 1:
        wanted = (own[0], *wanted)
    if len(wanted) != len(own):
        raise _wrong_rank(own, dims, where)
    return tuple(
        mine if not is_dynamic(mine) or is_dynamic(theirs) else theirs
        for mine, theirs in zip(own, wanted, strict=True)
    )


def _sizes(
    shape: Shape | None, sizes: tuple[int, ...] | None, where: str
) -> tuple[int, ...] | None:
    """The user's concrete full shape; it may leave the batch axis out, which has one row then."""
    if sizes is None or shape is None:
        return sizes
    full = (1, *sizes) if len(sizes) == len(shape) - 1 else sizes
    if len(full) != len(shape):
        raise _wrong_rank(shape, sizes, where)
    for axis, (dim, size) in enumerate(zip(shape, full, strict=True)):
        if not is_dynamic(dim) and dim != size:
            raise InvalidInputError(
                "TG304", f"axis {axis} is fixed at {dim} in the model, not {size}", where=where
            )
    return full


def _wrong_rank(shape: Shape, given: tuple[int, ...], where: str) -> InvalidInputError:
    return InvalidInputError(
        "TG304", f"{list(given)} has {len(given)} axes, the model has {len(shape)}", where=where
    )


def guess_inputs(facts: ModelFacts, specs: Sequence[TensorSpec]) -> Iterator[tuple[Guess, ...]]:
    """One guess for each input, as long as there are sensible ones.

    Args:
        facts: whose first weights tell what the first layer takes.
        specs: the inputs; what they state is kept.
    """
    choices = [list(islice(_choices(facts, spec), _MAX_IDEAS)) for spec in specs]
    # All inputs alike first, then every mixture.
    alike = [tuple(row) for row in zip(*choices, strict=False)]
    mixed = (tuple(row) for row in product(*choices))
    seen: set[tuple[Guess, ...]] = set()
    for guess in (*alike, *islice(mixed, _MAX_MIXTURES)):
        if guess not in seen:
            seen.add(guess)
            yield guess


def _choices(facts: ModelFacts, spec: TensorSpec) -> Iterator[Guess]:
    seen: set[Guess] = set()
    for dtype, shape in _ideas(facts, spec):
        guess = (spec.dtype or dtype, spec.shape if spec.shape is not None else shape)
        if guess not in seen:
            seen.add(guess)
            yield guess


def _ideas(facts: ModelFacts, spec: TensorSpec) -> Iterator[Guess]:
    counts = bool(_words(spec.name) & _COUNTS)
    if counts:
        yield DType.INT64, (None, None)
    real = _real(facts)
    for name, weight in _layers(facts):
        yield from _taken_by(name, weight, real)
    for rank in (2, 4, 3, 1):
        shape: Shape = (None, 3, None, None) if rank == 4 else (None,) * rank
        yield real, shape
    yield DType.INT64, (None, None)
    yield DType.INT64, (None,)
    yield real, (None, None, None, None)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _real(facts: ModelFacts) -> DType:
    """The type of the first weights that hold real numbers."""
    weights = facts.torch.weights if facts.torch is not None else ()
    labels = [label for _, label, _ in weights if label in {"FP16", "FP32", "FP64", "BF16"}]
    return DType(labels[0]) if labels else DType.FP32


def _layers(facts: ModelFacts) -> Iterator[tuple[str, tuple[int, ...]]]:
    weights = facts.torch.weights if facts.torch is not None else ()
    for name, _, shape in weights:
        if len(shape) > 1:
            yield name, shape
            return  # the first layer alone sees the inputs


def _taken_by(name: str, weight: tuple[int, ...], real: DType) -> Iterator[Guess]:
    """What a layer with such a weight takes: linear, convolution, embedding or recurrence."""
    width = weight[1]
    table = bool(_words(name) & _TABLES)
    if len(weight) == 2:
        rows: list[Guess] = [(DType.INT64, (None, None)), (DType.INT64, (None,))]
        steps: Guess = (real, (None, None, width))
        columns: list[Guess] = [(real, (None, width)), steps]
        if "ih" in _words(name):  # of a recurrent layer
            columns.reverse()
        yield from (*rows, *columns) if table else (*columns, *rows)
    else:
        yield real, (None, width, *(None,) * (len(weight) - 2))
        # A grouped convolution states the channels of one group; a bare one may take no batch.
        yield real, (None, weight[0], *(None,) * (len(weight) - 2))
