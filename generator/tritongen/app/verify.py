"""Sends inputs through Triton and compares every output with a local run of the same file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritongen.app.project import read_lock
from tritongen.app.serve import running_server
from tritongen.domain.agreement import TOLERANCES, gap
from tritongen.domain.evidence import Trial
from tritongen.domain.facts import ModelFacts
from tritongen.domain.intent import DEFAULT_TRITON
from tritongen.domain.precision import precision_of
from tritongen.domain.releases import find
from tritongen.domain.samples import Array, InputRecipe, make_inputs
from tritongen.domain.tensors import DType
from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.inspection import inspect_folder
from tritongen.inspection.trial.runtime import RuntimeRefusal
from tritongen.inspection.trial.runtimes import RUNTIMES, runtime_for
from tritongen.serving.client import HttpClient, ServerClient

# Beside a single row, so many rows in one request show that the batch axis is served right.
ROWS = 3


@dataclass(frozen=True, slots=True)
class VerifiedOutput:
    """One output; `max_abs_diff` is over all rows sent."""

    name: str
    max_abs_diff: float
    within: bool


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """One model; `reason` says why it is not right, or how it was compared."""

    name: str
    ok: bool
    outputs: tuple[VerifiedOutput, ...]
    reason: str = ""


def verify(
    project: Path, repository: Path, *, address: str = "", seed: int = 1
) -> tuple[VerifiedModel, ...]:
    """Verify every model of a repository on the project's server or on a given one.

    Args:
        project: the project's folder.
        repository: that the server serves.
        address: HTTP ``host:port`` of another server.
        seed: of the inputs.

    Raises:
        InvalidInputError: the repository cannot be read.
        EnvironmentProblem: no server, or the runtime for the local run is missing.
    """
    address = address or running_server(project).endpoints.http
    lock = read_lock(repository)
    trials = (
        {name: model.evidence.trial for name, model in lock.models.items()}
        if lock is not None
        else {}
    )
    release = find(lock.target.triton if lock is not None else DEFAULT_TRITON)
    models = inspect_folder(repository, release).models
    with HttpClient(address) as client:
        if not client.live():
            raise EnvironmentProblem("TG814", "no Triton answers", where=address)
        return tuple(
            _verify(client, repository, facts, trials.get(facts.name), seed) for facts in models
        )


def _verify(
    client: ServerClient, repository: Path, facts: ModelFacts, trial: Trial | None, seed: int
) -> VerifiedModel:
    if facts.format not in RUNTIMES:
        reason = f"no local run for the format {facts.format.value}"
        return VerifiedModel(facts.name, False, (), reason)
    try:
        batches = client.model_config(facts.name).get("max_batch_size", 0) > 0
        singles = _recipes(client, facts, trial)
        sent = [singles]
        if batches:
            limit = client.model_config(facts.name)["max_batch_size"]
            sent.append([recipe.with_rows(min(ROWS, limit)) for recipe in singles])
        pairs = [_run_both(client, repository, facts, recipes, seed) for recipes in sent]
    except RuntimeRefusal as problem:
        return VerifiedModel(facts.name, False, (), f"the local run failed: {problem.message}")
    except (EnvironmentProblem, InvalidInputError) as problem:
        if problem.code in {"TG006", "TG814"}:
            raise
        return VerifiedModel(facts.name, False, (), problem.what)
    return _judge(facts, pairs, [recipes[0].shape[0] if batches else 1 for recipes in sent])


def _recipes(client: ServerClient, facts: ModelFacts, trial: Trial | None) -> list[InputRecipe]:
    """What the trial fed; without one, the server's metadata with 1 for every dynamic size."""
    if trial is not None and trial.ok and trial.inputs:
        return [
            InputRecipe(item.name, item.dtype, item.shape, item.values) for item in trial.inputs
        ]
    inputs = client.model_metadata(facts.name)["inputs"]
    return [
        InputRecipe(
            item["name"],
            DType(item["datatype"]),
            tuple(max(int(size), 1) for size in item["shape"]),
        )
        for item in inputs
    ]


Outputs = Mapping[str, Array]


def _run_both(
    client: ServerClient,
    repository: Path,
    facts: ModelFacts,
    recipes: list[InputRecipe],
    seed: int,
) -> tuple[Outputs, Outputs]:
    inputs = make_inputs(recipes, seed)
    served = client.infer(facts.name, _as_served(inputs))
    runtime = runtime_for(facts.format)
    main = repository / facts.versions[-1].files[0].source
    return runtime.load(main, threads=1).run(inputs), served


def _as_served(inputs: dict[str, Array]) -> dict[str, Array]:
    """Scalars as Triton takes them: rank 1, size 1."""
    return {name: array.reshape(1) if array.ndim == 0 else array for name, array in inputs.items()}


def _judge(
    facts: ModelFacts, pairs: list[tuple[Outputs, Outputs]], rows: list[int]
) -> VerifiedModel:
    tolerance = TOLERANCES[precision_of(facts)]
    outputs = []
    reasons = []
    for name in pairs[0][0]:
        worst, within = 0.0, True
        for expected, served in pairs:
            if name not in served:
                within = False
                reasons.append(f"{name} is not among the server's outputs")
                continue
            left, right = expected[name], served[name]
            if left.size != right.size:
                within = False
                reasons.append(f"{name} has shape {right.shape}, locally {left.shape}")
                continue
            # A scalar is served as [1], and a row that is the batch axis alone as [n, 1].
            found = gap(name, left, right.reshape(left.shape), tolerance)
            worst = max(worst, found.difference)
            if found.exceeds:
                within = False
                reasons.append(f"{name} differs by {found.difference:.3g}")
        outputs.append(VerifiedOutput(name, worst, within))
    ok = all(item.within for item in outputs)
    sizes = " and ".join(str(size) for size in rows)
    plural = "row" if rows == [1] else "rows"
    return VerifiedModel(
        facts.name, ok, tuple(outputs), "; ".join(reasons) or f"{sizes} {plural} compared"
    )
