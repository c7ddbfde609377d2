"""What `verify` sends to a model: the user's samples where there are some, else made-up values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.intent import INTENT_FILE, read_intent
from tritongen.model.evidence import AxisProof, AxisVerdict, Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import Intent
from tritongen.model.samples import InputRecipe, make_inputs, observed_recipes
from tritongen.model.tensors import DType
from tritongen.repository.project import last_models
from tritongen.system.sample_files import SampleFiles, data_file, find_samples, spread
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.sample_tensors import Sample, joined, read_rows

# Beside single rows, so many in one request show that the batch axis is served right.
ROWS = 3
# Chosen: a difference of the server's shows on a few.
_MAX_SAMPLES = 16
_SYMBOL = re.compile(r"[\w.:/-]+")


@dataclass(frozen=True, slots=True)
class GivenSamples:
    """Samples by model.

    Attributes:
        folder: of the models that the repository was built from.
        intent: its tritongen.yaml.
        data: files that the command line names, by model; by "" for any.
    """

    folder: Path
    intent: Intent
    data: Mapping[str, SampleFiles]

    @classmethod
    def of_repository(cls, repository: Path, data: Mapping[str, Path]) -> "GivenSamples":
        """Those of the models folder, where it is known here.

        Raises:
            InvalidInputError: TG002 or TG906, a file of the command line cannot be read.
        """
        files = {model: data_file(path) for model, path in data.items()}
        try:
            folder = last_models(repository)
        except InvalidInputError:
            return cls(Path(), Intent(), files)
        folder = folder.parent if folder.is_file() else folder
        return cls(folder, read_intent(folder / INTENT_FILE).intent, files)

    def files(self, model: str) -> SampleFiles | None:
        """Those of a model or pipeline, None where there are none.

        Raises:
            InvalidInputError: TG906, they cannot be read.
        """
        files = self.data.get(model) or self.data.get("")
        if files is not None:
            return files
        named = self.intent.samples_of(model)
        return find_samples(self.folder, named) if named else None

    def requests(
        self, meta: ModelMeta, config: Mapping[str, Any], recipes: Sequence[InputRecipe], seed: int
    ) -> tuple[list[Sample], str]:
        """What is sent, one row each and several together, and that in words.

        Args:
            meta: the server's, of the model.
            config: as the server holds it.
            recipes: made-up values of one row, as the model itself takes them.
            seed: of these.

        Raises:
            InvalidInputError: TG906 or TG002, samples cannot be read or do not fit the model.
        """
        limit = int(config.get("max_batch_size", 0))
        together = min(ROWS, limit)
        files = self.files(meta.name)
        if files is None:
            more = [[one.with_rows(together) for one in recipes]] if limit > 0 else []
            sized = [recipes, *more]
            rows = [one[0].shape[0] if limit > 0 else 1 for one in sized]
            words = f"{' and '.join(map(str, rows))} {'row' if rows == [1] else 'rows'}"
            return [Sample("", make_inputs(one, seed), {}) for one in sized], words
        found = spread(read_rows(files, meta, limit > 0), _MAX_SAMPLES)
        words = f"{len(found)} sample{'s' if len(found) > 1 else ''}"
        if answers := sum(bool(one.expected) for one in found):
            words += f", {answers} of them with their expected outputs,"
        made = make_inputs(recipes, seed)
        ranks = {recipe.name: len(recipe.shape) for recipe in recipes}
        single = [_of_model(one, {**made, **one.inputs}, ranks) for one in found]
        return [*single, *joined(single, together)[: together > 1]], words


def _of_model(sample: Sample, inputs: Mapping[str, Any], ranks: Mapping[str, int]) -> Sample:
    """As the model itself takes it: Triton writes a scalar as [1], and a row alone as [n, 1]."""
    own = {
        name: array.reshape(array.shape[: ranks.get(name, array.ndim)])
        for name, array in inputs.items()
    }
    return Sample(sample.place, own, sample.expected)


def at_other_sizes(
    config: Mapping[str, Any], recipes: Sequence[InputRecipe], axes: Sequence[AxisProof]
) -> dict[str, list[InputRecipe]]:
    """One more request for each free axis, at another size that the trial ran, by what it is."""
    batches = int(config.get("max_batch_size", 0)) > 0
    fixed = {
        (item["name"], axis + batches)
        for item in config.get("input", ())
        for axis, dim in enumerate(item["dims"])
        if int(dim) != -1
    }
    found = {}
    for free in {item.label: item for item in axes if item.verdict is AxisVerdict.FREE}.values():
        size = free.tried[1]
        moved = {
            (item.input, item.axis): item.label
            for item in axes
            if free.label in (item.label, *_SYMBOL.findall(item.symbol))
        }
        # A sum of axes, and what the configuration holds to one size, are left as they are.
        if set(moved.values()) == {free.label} and not fixed & moved.keys():
            found[f"{free.label} of {size}"] = [
                replace(
                    recipe,
                    shape=tuple(
                        size if (recipe.name, axis) in moved else before
                        for axis, before in enumerate(recipe.shape)
                    ),
                )
                for recipe in recipes
            ]
    return found


def pipeline_recipes(
    config: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    trials: Mapping[str, Trial | None],
) -> list[InputRecipe]:
    """What the trials of the steps fed to the inputs that a request brings, where they ran."""
    recipes = []
    for item in config["input"]:
        found = [
            InputRecipe(item["name"], fed.dtype, fed.shape, fed.values)
            for step in steps
            for own, tensor in step["input_map"].items()
            if tensor == item["name"]
            for trial in [trials.get(step["model_name"])]
            for fed in (trial.inputs if trial is not None else ())
            if fed.name == own
        ]
        recipes += found[:1]
    return recipes


def trial_recipes(
    facts: ModelFacts, inputs: Sequence[TensorMeta], trial: Trial | None
) -> list[InputRecipe]:
    """What the trial fed; without one, the declared sizes with 1 for every dynamic one.

    Args:
        facts: of the model.
        inputs: the server's metadata, for an input whose rank the file does not declare.
        trial: None when it was not run.
    """
    if trial is not None and trial.ok and trial.inputs:
        return list(observed_recipes(trial.inputs))
    declared = {spec.name: spec.shape for spec in facts.inputs if spec.shape is not None}
    recipes = []
    for item in inputs:
        shape = declared.get(item.name, item.shape)
        sizes = tuple(size if isinstance(size, int) and size > 0 else 1 for size in shape)
        recipes.append(InputRecipe(item.name, DType(item.datatype), sizes))
    return recipes
