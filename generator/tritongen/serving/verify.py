"""Sends inputs through Triton and compares every output with a local run of the same file."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.agreement import NEAR_ZERO, TOLERANCES, gap
from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import DEFAULT_TRITON
from tritongen.model.precision import Precision, precision_of
from tritongen.model.releases import find
from tritongen.model.samples import InputRecipe, make_inputs, observed_recipes
from tritongen.model.tensors import DType
from tritongen.repository.inspect import StoredModel, stored_models
from tritongen.repository.project import read_lock
from tritongen.serving.lifecycle import running_server
from tritongen.serving.served_config import config_document
from tritongen.serving.verify_local import LocalRuns, run_steps
from tritongen.serving.verify_requests import Outputs, VerifyClients, is_decoupled
from tritongen.serving.verify_sequence import COMPARED, sequence_pairs
from tritongen.trial.child_session import ChildSession
from tritongen.trial.runtime import RuntimeRefusal
from tritongen.trial.runtimes import RUNTIMES
from tritongen.triton.grpc_channel import MAX_MESSAGE_BYTES
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient
from tritongen.triton.messages import TensorMeta

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
    with HttpClient(address) as http, streams or nullcontext():
        if not http.live():
            raise EnvironmentProblem("TG814", "no Triton answers", where=address)
        http.metadata()  # what is no Triton is told once, and not of each model
        client = VerifyClients(http, streams)
        local = LocalRuns(code, tell)
        found = [
            _verify(client, local, model, trials.get(name), seed) for name, model in models.items()
        ]
        found += [
            _verify_pipeline(client, local, name, models, trials, seed)
            for name in sorted(written - set(trials))
        ]
        return tuple(found)


def _verify(
    client: VerifyClients, local: LocalRuns, model: StoredModel, trial: Trial | None, seed: int
) -> VerifiedModel:
    facts = model.facts
    if facts.format not in RUNTIMES:
        reason = f"no local run for the format {facts.format.value}"
        return VerifiedModel(facts.name, False, (), reason)
    try:
        config = config_document(client.http, facts.name)
        limit = config.get("max_batch_size", 0)
        metadata = client.http.model_metadata(facts.name)
        ranks = {item.name: len(item.shape) for item in metadata.inputs}
        served = client.model(facts.name, config, ranks)
        sent = [_recipes(facts, metadata.inputs, trial)]
        if limit > 0:
            sent.append([recipe.with_rows(min(ROWS, limit)) for recipe in sent[0]])
        requests = [make_inputs(recipes, seed) for recipes in sent]
        pairs = []
        for number, main in _served_versions(metadata.versions, model).items():
            run = partial(served.run, version=number)
            with local.session(facts, main, config) as session:
                if config.get("sequence_batching"):
                    pairs += sequence_pairs(config, sent[0], seed, session.run, run, model.folder)
                else:
                    pairs += [
                        (expected, run(inputs, expected))
                        for inputs in requests
                        for expected in (session.run(inputs),)
                    ]
    except RuntimeRefusal as problem:
        return VerifiedModel(facts.name, False, (), f"the local run failed: {problem.message}")
    except (EnvironmentProblem, InvalidInputError) as problem:
        if problem.code in {"TG006", "TG814"}:
            raise
        return VerifiedModel(facts.name, False, (), problem.what)
    compared = _rows(sent, limit) if not config.get("sequence_batching") else COMPARED
    if is_decoupled(config):
        compared += ", every response"
    return _judge(facts.name, precision_of(facts), pairs, compared)


def _verify_pipeline(
    client: VerifyClients,
    local: LocalRuns,
    name: str,
    models: Mapping[str, StoredModel],
    trials: Mapping[str, Trial | None],
    seed: int,
) -> VerifiedModel:
    """An ensemble against its steps, run one after the other on this machine."""
    try:
        config = config_document(client.http, name)
        steps = config.get("ensemble_scheduling", {}).get("step", ())
        if any(step["model_name"] not in models for step in steps) or not steps:
            message = "the server does not serve it as a pipeline of the repository's models"
            raise InvalidInputError("TG836", message)
        limit = int(config.get("max_batch_size", 0))
        sent = [_pipeline_recipes(config, steps, trials)]
        if limit > 0:
            sent.append([recipe.with_rows(min(ROWS, limit)) for recipe in sent[0]])
        ranks = {item["name"]: len(item["dims"]) + (limit > 0) for item in config["input"]}
        served = client.model(name, config, ranks)
        outputs = [item["name"] for item in config["output"]]
        requests = [make_inputs(recipes, seed) for recipes in sent]
        with ExitStack() as stack:
            sessions = {
                step["model_name"]: stack.enter_context(
                    _session(client, local, models[step["model_name"]])
                )
                for step in steps
            }
            pairs = [
                (expected, served.run(inputs, expected, version=1))
                for inputs in requests
                for expected in (run_steps(steps, sessions, inputs, outputs),)
            ]
    except RuntimeRefusal as problem:
        return VerifiedModel(name, False, (), f"the local run failed: {problem.message}")
    except (EnvironmentProblem, InvalidInputError) as problem:
        if problem.code in {"TG006", "TG814"}:
            raise
        return VerifiedModel(name, False, (), problem.what)
    loosest = max(
        (precision_of(models[step["model_name"]].facts) for step in steps),
        key=lambda item: TOLERANCES[item].relative,
    )
    return _judge(name, loosest, pairs, _rows(sent, limit))


def _session(
    client: VerifyClients, local: LocalRuns, model: StoredModel
) -> AbstractContextManager[ChildSession]:
    """The newest version of a model, run on this machine.

    Raises:
        InvalidInputError: TG836, its file is not in the repository, or its format has no run;
            TG149, it is a program that may not run.
    """
    facts = model.facts
    if facts.format not in RUNTIMES or not model.mains:
        raise InvalidInputError("TG836", f"no local run of {facts.name}", where=facts.name)
    config = config_document(client.http, facts.name)
    return local.session(facts, model.mains[max(model.mains)], config)


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


def _rows(sent: Sequence[Sequence[InputRecipe]], limit: int) -> str:
    """How many rows the requests had, in words."""
    rows = [recipes[0].shape[0] if limit > 0 else 1 for recipes in sent]
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
