"""Sends inputs through Triton and compares every output with a local run of the same file."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.agreement import NEAR_ZERO, TOLERANCES, gap
from tritongen.model.evidence import AxisProof, AxisVerdict, Trial
from tritongen.model.facts import ModelFacts, Precision, precision_of
from tritongen.model.intent import DEFAULT_TRITON
from tritongen.model.releases import find
from tritongen.model.samples import InputRecipe, make_inputs, observed_recipes
from tritongen.model.tensors import DType
from tritongen.repository.inspect import StoredModel, stored_models
from tritongen.repository.project import read_lock
from tritongen.serving.lifecycle import running_server
from tritongen.serving.served_config import config_document
from tritongen.serving.verify_runs import (
    LocalRuns,
    Outputs,
    RemoteModel,
    is_decoupled,
    run_steps,
)
from tritongen.serving.verify_sequence import COMPARED, sequence_pairs
from tritongen.trial.child_session import ChildSession, ChildSessions
from tritongen.trial.runtime import RuntimeRefusal
from tritongen.trial.runtimes import RUNTIMES
from tritongen.triton.grpc_client import MAX_MESSAGE_BYTES, GrpcClient
from tritongen.triton.http_client import HttpClient
from tritongen.triton.messages import TensorMeta

_SYMBOL = re.compile(r"[\w.:/-]+")
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

    @property
    def verdict(self) -> str:
        """``equal``, ``different``, or ``not-compared`` where one of the two runs gave nothing."""
        if self.ok:
            return "equal"
        return "different" if self.outputs else "not-compared"


def verify(
    project: Path,
    repository: Path,
    *,
    address: str = "",
    seed: int = 1,
    code: bool = True,
    tell: Callable[[str], None] = lambda _name: None,
) -> tuple[VerifiedModel, ...]:
    """Verify every model of a repository on the project's server or on a given one.

    Args:
        project: the project's folder.
        repository: that the server serves.
        address: HTTP ``host:port`` of another server.
        seed: of the inputs.
        code: whether models that are programs are run on this machine.
        tell: told the name of each of them.

    Raises:
        InvalidInputError: the repository cannot be read.
        EnvironmentProblem: no server, or the runtime for the local run is missing.
    """
    endpoints = None if address else running_server(project).endpoints
    address = address or (endpoints.http if endpoints is not None else "")
    lock = read_lock(repository)
    known = lock.models.items() if lock is not None else ()
    trials = {name: model.evidence.trial for name, model in known}
    release = find(lock.target.triton if lock is not None else DEFAULT_TRITON)
    models = stored_models(repository, lock, release)
    written = {path.partition("/")[0] for path in lock.written} if lock is not None else set()
    # The project's own server may answer with all that a model gives.
    streams = (
        GrpcClient(endpoints.grpc, most_bytes=MAX_MESSAGE_BYTES) if endpoints is not None else None
    )
    children = ChildSessions(model.facts for model in models.values())
    with HttpClient(address) as http, streams or nullcontext(), closing(children):
        if not http.live():
            raise EnvironmentProblem("TG814", "no Triton answers", where=address)
        http.metadata()  # what is no Triton is told once, and not of each model
        local = LocalRuns(children, code, tell)
        comparison = _Comparison(http, streams, local, models, trials, seed)
        pipelines = sorted(written - set(trials))
        return (
            *(_verdict(name, comparison.of_model) for name in models),
            *(_verdict(name, comparison.of_pipeline) for name in pipelines),
        )


def _verdict(name: str, compare: Callable[[str], VerifiedModel]) -> VerifiedModel:
    """What the comparison of a model finds, or why there is none."""
    try:
        return compare(name)
    except RuntimeRefusal as problem:
        return VerifiedModel(name, False, (), f"the local run failed: {problem.message}")
    except (EnvironmentProblem, InvalidInputError) as problem:
        if problem.code in {"TG006", "TG814"}:
            raise
        return VerifiedModel(name, False, (), problem.what)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What models are compared with, and on which inputs.

    Attributes:
        http: a client of the server.
        grpc: another, None where only its HTTP address is known.
        local: where models run on this machine.
        models: of the repository.
        trials: of those that were built, by name.
        seed: of the inputs.
    """

    http: HttpClient
    grpc: GrpcClient | None
    local: LocalRuns
    models: Mapping[str, StoredModel]
    trials: Mapping[str, Trial | None]
    seed: int

    def of_model(self, name: str) -> VerifiedModel:
        """Every version that is served.

        Raises:
            RuntimeRefusal: it does not run on this machine.
            InvalidInputError: TG149, it is a program that may not; TG836, it is not comparable.
            EnvironmentProblem: the server does not answer, or refuses.
        """
        model = self.models[name]
        facts = model.facts
        if facts.format not in RUNTIMES:
            reason = f"no local run for the format {facts.format.value}"
            return VerifiedModel(name, False, (), reason)
        config = config_document(self.http, name)
        metadata = self.http.model_metadata(name)
        ranks = {item.name: len(item.shape) for item in metadata.inputs}
        served = RemoteModel(self.http, self.grpc, name, ranks, is_decoupled(config))
        trial = self.trials.get(name)
        sent = _with_rows(config, _recipes(facts, metadata.inputs, trial))
        states = bool(config.get("sequence_batching"))
        axes = trial.axes if trial is not None and not states else ()
        longer = _at_other_sizes(config, sent[0], axes)
        pairs = []
        for number, main in _served_versions(metadata.versions, model).items():
            run = partial(served.run, version=number)
            with self.local.session(facts, main, config) as session:
                pairs += (
                    sequence_pairs(config, sent[0], self.seed, session.run, run, model.folder)
                    if states
                    else _pairs([*sent, *longer.values()], self.seed, session.run, run)
                )
        compared = COMPARED if states else ", ".join((_rows(sent, config), *longer))
        if is_decoupled(config):
            compared += ", every response"
        return _judge(name, precision_of(facts), pairs, compared)

    def of_pipeline(self, name: str) -> VerifiedModel:
        """An ensemble against its steps, run one after the other on this machine.

        Raises:
            RuntimeRefusal: as `of_model`, of a step.
            InvalidInputError: likewise.
            EnvironmentProblem: likewise.
        """
        config = config_document(self.http, name)
        steps = config.get("ensemble_scheduling", {}).get("step", ())
        if any(step["model_name"] not in self.models for step in steps) or not steps:
            message = "the server does not serve it as a pipeline of the repository's models"
            raise InvalidInputError("TG836", message)
        sent = _with_rows(config, _pipeline_recipes(config, steps, self.trials))
        batches = config.get("max_batch_size", 0) > 0
        ranks = {item["name"]: len(item["dims"]) + batches for item in config["input"]}
        served = RemoteModel(self.http, self.grpc, name, ranks, is_decoupled(config))
        outputs = [item["name"] for item in config["output"]]
        used = {step["model_name"]: self.models[step["model_name"]] for step in steps}
        with ExitStack() as stack:
            sessions = {
                step: stack.enter_context(self._newest(model)) for step, model in used.items()
            }
            local = partial(run_steps, steps, sessions, outputs)
            pairs = _pairs(sent, self.seed, local, partial(served.run, version=1))
        loosest = max(
            (precision_of(model.facts) for model in used.values()),
            key=lambda item: TOLERANCES[item].relative,
        )
        return _judge(name, loosest, pairs, _rows(sent, config))

    def _newest(self, model: StoredModel) -> AbstractContextManager[ChildSession]:
        """The newest version of a model, run on this machine.

        Raises:
            InvalidInputError: TG836, its file is not in the repository, or its format has no run;
                TG149, it is a program that may not run.
        """
        facts = model.facts
        if facts.format not in RUNTIMES or not model.mains:
            raise InvalidInputError("TG836", f"no local run of {facts.name}", where=facts.name)
        config = config_document(self.http, facts.name)
        return self.local.session(facts, model.mains[max(model.mains)], config)


def _with_rows(config: Mapping[str, Any], recipes: list[InputRecipe]) -> list[list[InputRecipe]]:
    """The inputs of each request: one row, and several where the model batches."""
    limit = int(config.get("max_batch_size", 0))
    more = [[recipe.with_rows(min(ROWS, limit)) for recipe in recipes]] if limit > 0 else []
    return [recipes, *more]


def _at_other_sizes(
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


def _pairs(
    sent: Sequence[Sequence[InputRecipe]],
    seed: int,
    local: Callable[[Outputs], Outputs],
    served: Callable[[Outputs, Outputs], Outputs],
) -> list[tuple[Outputs, Outputs]]:
    """The outputs of each request: expected, and served."""
    pairs = []
    for recipes in sent:
        inputs = make_inputs(recipes, seed)
        expected = local(inputs)
        pairs.append((expected, served(inputs, expected)))
    return pairs


def _pipeline_recipes(
    config: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    trials: Mapping[str, Trial | None],
) -> list[InputRecipe]:
    """What the trials of the steps fed to the inputs that a request brings.

    Raises:
        InvalidInputError: TG836, the step that takes one of them was not tried.
    """
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
        if not found:
            message = f"no trial says what to send as {item['name']!r}"
            raise InvalidInputError("TG836", message)
        recipes.append(found[0])
    return recipes


def _served_versions(versions: Sequence[str], model: StoredModel) -> Mapping[int, Path]:
    """Main file of every version that the server answers for.

    Raises:
        InvalidInputError: TG836, the repository lacks one of them.
    """
    mains = model.mains
    absent = [number for number in versions if int(number) not in mains]
    if absent or not versions:
        what = f"version {', '.join(absent)}" if absent else "any version"
        raise InvalidInputError("TG836", f"the repository has no readable file of {what}")
    return {int(number): mains[int(number)] for number in sorted(versions, key=int)}


def _recipes(
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


def _rows(sent: Sequence[Sequence[InputRecipe]], config: Mapping[str, Any]) -> str:
    """How many rows the requests had, in words."""
    batches = config.get("max_batch_size", 0) > 0
    rows = [recipes[0].shape[0] if batches else 1 for recipes in sent]
    sizes = " and ".join(str(size) for size in rows)
    return f"{sizes} {'row' if rows == [1] else 'rows'}"


def _judge(
    model: str,
    precision: Precision,
    pairs: Sequence[tuple[Outputs, Outputs]],
    compared: str,
) -> VerifiedModel:
    tolerance = TOLERANCES[precision]
    outputs = []
    reasons = []
    for name in dict.fromkeys(name for expected, served in pairs for name in (*expected, *served)):
        worst, within = 0.0, True
        for expected, served in pairs:
            sides = {"the server's": served, "the local run's": expected}
            absent = [whose for whose, side in sides.items() if name not in side]
            if len(absent) == 1:
                within = False
                reasons.append(f"{name} is not among {absent[0]} outputs")
            if absent:
                continue
            left, right = expected[name], served[name]
            if left.size != right.size:
                within = False
                reasons.append(f"{name} has shape {right.shape}, locally {left.shape}")
                continue
            # A scalar is served as [1], and a row that is the batch axis alone as [n, 1].
            right = right.reshape(left.shape)
            found = gap(name, left, right, tolerance, near_zero=NEAR_ZERO[precision])
            worst = max(worst, found.difference)
            if found.exceeds:
                within = False
                reasons.append(f"{name} differs by {found.difference:.3g}")
        outputs.append(VerifiedOutput(name, worst, within))
    ok = all(item.within for item in outputs)
    return VerifiedModel(model, ok, tuple(outputs), "; ".join(reasons) or f"{compared} compared")
