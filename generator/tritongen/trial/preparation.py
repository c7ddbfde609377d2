"""From a model's facts and what the user asks for to the child's request."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tritongen.errors import InvalidInputError
from tritongen.model.backends import backend_for
from tritongen.model.cores import budget_of
from tritongen.model.facts import ModelFacts, ModelFormat, precision_of
from tritongen.model.input_values import parse_values
from tritongen.model.intent import DEFAULT_TRITON, DeclaredTensor, ModelIntent
from tritongen.model.tensors import Dim, DType, Shape, TensorKind, TensorSpec, is_dynamic
from tritongen.system.machine import read_cpus
from tritongen.trial.child_request import MEASURED_BATCHES, Feed, Limits, TrialRequest
from tritongen.trial.runtime import DeclaredInterface
from tritongen.trial.trial_options import TrialOptions
from tritongen.trial.undescribed_inputs import guess_inputs

# Virtual memory is spent on mapped files, stacks and reserves of the allocator, not only on data.
_ADDRESS_SPARE_BYTES = 2 * 2**30
_ADDRESS_PER_THREAD_BYTES = 256 * 2**20
# Operators divided by the critical path; below it, running them side by side cannot pay.
_PARALLEL = 1.5

# Formats whose inputs can be found by running with guesses.
_GUESSED = frozenset({ModelFormat.TORCHSCRIPT, ModelFormat.TORCH_AOTI})


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
        guesses=guesses,
        open_shapes=facts.format in _GUESSED,
        interface=DeclaredInterface(
            inputs=tuple(TensorSpec(feed.name, feed.dtype, feed.shape) for feed in feeds),
            outputs=facts.outputs,
            parameters=_parameters(facts, intent),
            max_batch_size=(facts.python.max_batch_size or 0) if facts.python is not None else 0,
            decoupled=_decoupled(facts, intent),
        ),
    )


def _most_rows(facts: ModelFacts, intent: ModelIntent) -> int:
    """Rows that max_batch_size will allow at most, as far as it is known before the trial."""
    own = facts.python.max_batch_size if facts.python is not None else None
    limits = [limit for limit in (intent.max_batch_size, own) if limit]
    return min(limits, default=MEASURED_BATCHES[-1])


def child_limits(facts: ModelFacts, options: TrialOptions, threads: int) -> Limits:
    """What a child that runs the model may take."""
    address_space = options.memory_limit(facts) + 2 * facts.weight_bytes + _ADDRESS_SPARE_BYTES
    return Limits.of_child(
        timeout_s=options.timeout_s,
        time_budget_s=options.time_budget_s,
        threads=threads,
        address_space=address_space + (threads + 1) * _ADDRESS_PER_THREAD_BYTES,
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
    shape = _declared_shape(spec.shape, declared.dims, f"{where}.dims")
    sizes = _sizes(shape, declared.shape, f"{where}.shape")
    return Feed(spec.name, dtype, shape, sizes, declared.values)


def _check_values(text: str, dtype: DType, where: str) -> None:
    try:
        parse_values(text, dtype)
    except InvalidInputError as error:
        raise InvalidInputError(
            error.code, error.what, where=f"{where}.values", fix=error.fix
        ) from None


def _declared_shape(own: Shape | None, dims: tuple[int, ...] | None, where: str) -> Shape | None:
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
