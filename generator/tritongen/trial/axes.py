"""Which axes of an input vary: found by running with other sizes, where the file does not say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tritongen.model.evidence import ReportedTensor
from tritongen.model.samples import Array, InputRecipe, make_inputs
from tritongen.trial.feeding import Fed
from tritongen.trial.runtime import LoadedModel, RuntimeRefusal

# An execution beyond this is not repeated for each axis.
_MAX_EXECUTION_S = 2.0

Dims = dict[str, list[int]]


def find_axes(
    session: LoadedModel, fed: Fed, seed: int
) -> tuple[tuple[ReportedTensor, ...], tuple[ReportedTensor, ...]]:
    """Inputs and outputs with -1 for every axis that takes another size.

    Args:
        session: the loaded model.
        fed: inputs that ran.
        seed: of the values.
    """
    inputs: Dims = {recipe.name: list(recipe.shape) for recipe in fed.recipes}
    outputs: Dims = {name: list(array.shape) for name, array in fed.outputs.items()}
    if fed.seconds <= _MAX_EXECUTION_S:
        for recipe in fed.recipes:
            for axis in range(len(recipe.shape)):
                if inputs[recipe.name][axis] >= 0:
                    _try(session, fed, recipe.name, axis, seed, (inputs, outputs))
    return _reported(inputs), _reported(outputs)


def _try(
    session: LoadedModel, fed: Fed, name: str, axis: int, seed: int, found: tuple[Dims, Dims]
) -> None:
    """One size more on one axis, alone first, then on the same axis of the other inputs too."""
    inputs, outputs = found
    size = inputs[name][axis]
    partners = [
        recipe.name
        for recipe in fed.recipes
        if axis < len(recipe.shape) and recipe.shape[axis] == size
    ]
    for group in ([name], partners):
        recipes = [
            _wider(recipe, axis) if recipe.name in group else recipe for recipe in fed.recipes
        ]
        try:
            result = session.run(make_inputs(recipes, seed))
        except RuntimeRefusal:
            continue
        for member in group:
            inputs[member][axis] = -1
        _mark(outputs, fed.outputs, result)
        return


def _wider(recipe: InputRecipe, axis: int) -> InputRecipe:
    shape = list(recipe.shape)
    shape[axis] += 1
    return replace(recipe, shape=tuple(shape))


def _mark(outputs: Dims, before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
    """Axes of the outputs that changed with the input."""
    for name, array in before.items():
        other = after.get(name)
        if other is None or other.ndim != array.ndim:
            continue
        for axis, (old, new) in enumerate(zip(array.shape, other.shape, strict=True)):
            if old != new:
                outputs[name][axis] = -1


def _reported(dims: Mapping[str, Sequence[int]]) -> tuple[ReportedTensor, ...]:
    return tuple(ReportedTensor(name, tuple(sizes)) for name, sizes in dims.items())
