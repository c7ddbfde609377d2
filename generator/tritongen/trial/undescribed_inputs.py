"""What inputs may be that a file does not describe: types and ranks to try, the likelier first."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, product

from tritongen.model.facts import ModelFacts
from tritongen.model.tensors import DType, Shape, TensorSpec

Guess = tuple[DType, Shape]

# Chosen: mixtures of several inputs, and ideas for one, that a trial has the time to try.
_MAX_MIXTURES = 48
_MAX_IDEAS = 9
_COUNTS = {"ids", "id", "token", "tokens", "mask", "index", "indices", "length", "lengths"}
_COUNTS |= {"position", "positions", "type", "types", "labels", "idx"}
_TABLES = {"emb", "embed", "embedding", "embeddings", "token", "tokens", "vocab", "wte", "word"}


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
