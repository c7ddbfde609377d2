"""Inputs and outputs that look like a state: taken at one step, given back for the next."""

import re

from tritongen.model.facts import ModelFacts
from tritongen.model.tensors import TensorSpec

# Where Triton looks for files with first states, below the model's folder.
INITIAL_FOLDER = "initial_state"
_TAKEN = re.compile(r"_?(in|prev|previous|old|0)$|^(prev|previous|old|initial|init)_")
_GIVEN = re.compile(r"_?(out|next|new|n|1)$|^(next|new|updated)_")


def initial_file(path: str) -> str:
    """The name under which a file of tritongen.yaml lies in the folder of first states."""
    return path.replace("/", "_")


def likely_states(facts: ModelFacts) -> tuple[tuple[str, str], ...]:
    """(input, output) of every pair whose names, types and shapes speak for a carried state.

    It is a guess from names such as ``h`` and ``hn``, or ``state`` and ``new_state``; a model whose
    outputs would all be states is none.
    """
    stems: dict[str, TensorSpec] = {}
    for spec in facts.inputs:
        stems.setdefault(_TAKEN.sub("", spec.name.lower()), spec)
    pairs = []
    for output in facts.outputs:
        stem = _GIVEN.sub("", output.name.lower())
        taken = stems.get(stem)
        if stem != output.name.lower() and taken is not None and _alike(taken, output):
            pairs.append((taken.name, output.name))
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or len(pairs) in {len(facts.inputs), len(facts.outputs)}:
        return ()
    return tuple(pairs)


def _alike(taken: TensorSpec, given: TensorSpec) -> bool:
    if taken.dtype is not given.dtype or not taken.shape or given.shape is None:
        return False
    return len(taken.shape) == len(given.shape) and all(
        not (isinstance(a, int) and isinstance(b, int)) or a == b
        for a, b in zip(taken.shape, given.shape, strict=True)
    )
