"""Sends inputs through Triton and compares every output with a local run of the same file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.agreement import NEAR_ZERO, TOLERANCES, gap
from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFormat, Precision, precision_of
from tritongen.model.intent import DEFAULT_TRITON
from tritongen.model.progress import Progress, silent
from tritongen.model.releases import find
from tritongen.model.samples import make_inputs
from tritongen.repository.inspect import StoredModel, stored_models
from tritongen.repository.project import read_lock
from tritongen.serving.lifecycle import running_server
from tritongen.serving.served_config import config_document
from tritongen.serving.verify_age import RepositoryAge
from tritongen.serving.verify_runs import (
    LocalRuns,
    Outputs,
    Pair,
    RemoteModel,
    is_decoupled,
    run_steps,
)
from tritongen.serving.verify_samples import (
    GivenSamples,
    at_other_sizes,
    pipeline_recipes,
    trial_recipes,
)
from tritongen.serving.verify_sequence import COMPARED, sequence_pairs
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.child_session import ChildSession, ChildSessions
from tritongen.trial.runtime import RuntimeRefusal
from tritongen.trial.runtimes import RUNTIMES
from tritongen.triton.address import Endpoint
from tritongen.triton.connect import ServerClient, client_for
from tritongen.triton.grpc_client import MAX_MESSAGE_BYTES, GrpcClient
from tritongen.triton.sample_tensors import Sample
from tritongen.triton.server import Endpoints

# Chosen: many samples tell the same.
MAX_REASONS = 4


@dataclass(frozen=True, slots=True)
class VerifiedOutput:
    """One output; `max_abs_diff` is over all rows sent."""

    name: str
    max_abs_diff: float
    within: bool


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """One model; `reason` says why it is not right, or how it was compared.

    `stale` is one that the server serves from an older repository than the folder; `server` is its
    address where several were asked.
    """

    name: str
    ok: bool
    outputs: tuple[VerifiedOutput, ...]
    reason: str = ""
    stale: bool = False
    server: str = ""

    @property
    def verdict(self) -> str:
        """``stale``, ``equal``, ``different``, or ``not-compared`` where a run gave nothing."""
        if self.stale:
            return "stale"
        if self.ok:
            return "equal"
        return "different" if self.outputs else "not-compared"


def verify(
    project: Path,
    repository: Path,
    *,
    endpoints: Sequence[Endpoint] = (),
    data: Mapping[str, Path] = MappingProxyType({}),
    seed: int = 1,
    code: bool = True,
    tell: Callable[[str], None] = lambda _name: None,
    progress: Progress = silent,
) -> tuple[VerifiedModel, ...]:
    """Verify every model of a repository on the project's server, or on each of the given ones.

    Args:
        project: the project's folder.
        repository: that the server serves.
        endpoints: of other servers; none for the project's own.
        data: files with inputs by model, by "" for any; else the samples of tritongen.yaml.
        seed: of made-up inputs.
        code: whether models that are programs are run on this machine.
        tell: told the name of each of them.
        progress: told of the download of a runtime.

    Raises:
        InvalidInputError: the repository cannot be read.
        EnvironmentProblem: no server, or the runtime for the local run is missing.
    """
    state = None if endpoints else running_server(project).state
    own = state.endpoints if state is not None else Endpoints()
    places = tuple(endpoints) or (Endpoint.parse(own.http),)
    lock = read_lock(repository)
    trials = {name: one.evidence.trial for name, one in (lock.models if lock else {}).items()}
    release = find(lock.target.triton if lock is not None else DEFAULT_TRITON)
    models = stored_models(repository, lock, release)
    written = {path.partition("/")[0] for path in lock.written} if lock is not None else set()
    # The project's own server may answer with all that a model gives.
    streams = GrpcClient(own.grpc, most_bytes=MAX_MESSAGE_BYTES) if own.grpc else None
    limits = TrialOptions(cores=1, onnxruntime=release.onnxruntime, progress=progress)
    children = ChildSessions((model.facts for model in models.values()), limits)
    with streams or nullcontext(), closing(children):
        local, given = LocalRuns(children, code, tell), GivenSamples.of_repository(repository, data)
        asked = partial(
            _Comparison, local=local, models=models, trials=trials, seed=seed, given=given
        )
        age = partial(RepositoryAge, repository=repository, state=state)
        return tuple(_on_servers(places, streams, asked, sorted(written - set(trials)), age))


def _on_servers(
    places: Sequence[Endpoint],
    streams: GrpcClient | None,
    asked: "Callable[[ServerClient, GrpcClient | None], _Comparison]",
    pipelines: Sequence[str],
    age: Callable[[ServerClient], RepositoryAge],
) -> Iterator[VerifiedModel]:
    """What the models and pipelines of each server answer."""
    for place in places:
        with client_for(place) as client:
            if not client.says_live():
                raise EnvironmentProblem("TG814", "no Triton answers", where=place.address)
            client.metadata()  # what is no Triton is told once, and not of each model
            comparison = asked(client, client if isinstance(client, GrpcClient) else streams)
            found = [_verdict(name, comparison.of_model) for name in comparison.models]
            found += [_verdict(name, comparison.of_pipeline) for name in pipelines]
            server = place.place if len(places) > 1 else ""
            yield from (_dated(model, age(client), server) for model in found)


def _dated(model: VerifiedModel, age: RepositoryAge, server: str) -> VerifiedModel:
    """The same of that server, as stale where it serves something older than the folder holds."""
    older = age.why_older(model.name, different=model.verdict == "different")
    if not older:
        return replace(model, server=server)
    reason = f"{older}; {model.reason}"
    return replace(model, ok=False, stale=True, reason=reason, server=server)


def _verdict(name: str, compare: Callable[[str], VerifiedModel]) -> VerifiedModel:
    """What the comparison of a model finds, or why there is none."""
    try:
        return compare(name)
    except RuntimeRefusal as problem:
        return VerifiedModel(name, False, (), f"the local run failed: {problem.message}")
    except (EnvironmentProblem, InvalidInputError) as problem:
        if problem.code in {"TG006", "TG015", "TG814"}:
            raise
        where = f"{problem.where}: " if problem.code == "TG906" else ""
        return VerifiedModel(name, False, (), where + problem.what)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What models are compared with, and on which inputs.

    Attributes:
        client: of the server.
        grpc: another over gRPC, None where only its HTTP address is known.
        local: where models run on this machine.
        models: of the repository.
        trials: of those that were built, by name.
        seed: of made-up inputs.
        given: the user's own.
    """

    client: ServerClient
    grpc: GrpcClient | None
    local: LocalRuns
    models: Mapping[str, StoredModel]
    trials: Mapping[str, Trial | None]
    seed: int
    given: GivenSamples

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
        config = config_document(self.client, name)
        metadata = self.client.model_metadata(name)
        ranks = {item.name: len(item.shape) for item in metadata.inputs}
        served = RemoteModel(self.client, self.grpc, name, ranks, is_decoupled(config))
        trial = self.trials.get(name)
        recipes = trial_recipes(facts, metadata.inputs, trial)
        states = bool(config.get("sequence_batching"))
        sent, compared = self.given.requests(metadata, config, recipes, self.seed)
        axes = trial.axes if trial is not None and not states else ()
        longer = at_other_sizes(config, recipes, axes)
        sent += [Sample("", make_inputs(one, self.seed), {}) for one in longer.values()]
        compared = COMPARED if states else ", ".join((compared, *longer))
        pairs: list[Pair] = []
        for number, main in _served_versions(metadata.versions, model).items():
            run = partial(served.run, version=number)
            with self.local.session(facts, main, config) as session:
                pairs += (
                    sequence_pairs(config, recipes, self.seed, session.run, run, model.folder)
                    if states
                    else _pairs(sent, session.run, run)
                )
        if is_decoupled(config):
            compared += ", every response"
        found = _judge(name, precision_of(facts), pairs, compared)
        if facts.format is ModelFormat.ONNX and self.local.sessions.installed_runtime:
            here = "the local run was on the installed ONNX Runtime"
            found = replace(found, reason=f"{found.reason}; {here}")
        return found

    def of_pipeline(self, name: str) -> VerifiedModel:
        """An ensemble against its steps, run one after the other on this machine.

        Raises:
            RuntimeRefusal: as `of_model`, of a step.
            InvalidInputError: likewise.
            EnvironmentProblem: likewise.
        """
        config = config_document(self.client, name)
        steps = config.get("ensemble_scheduling", {}).get("step", ())
        if any(step["model_name"] not in self.models for step in steps) or not steps:
            message = "the server does not serve it as a pipeline of the repository's models"
            raise InvalidInputError("TG836", message)
        recipes = pipeline_recipes(config, steps, self.trials)
        metadata = self.client.model_metadata(name)
        # What a step's trial could not make up may stand in samples.
        known = {recipe.name for recipe in recipes}
        sent: list[Sample] = []
        if len(known) == len(metadata.inputs) or self.given.files(name) is not None:
            sent, compared = self.given.requests(metadata, config, recipes, self.seed)
            known = set.intersection(*(set(sample.inputs) for sample in sent))
        for absent in (item.name for item in metadata.inputs if item.name not in known):
            message = f"no trial and no sample says what to send as {absent!r}"
            raise InvalidInputError("TG836", message)
        batches = config.get("max_batch_size", 0) > 0
        ranks = {item["name"]: len(item["dims"]) + batches for item in config["input"]}
        served = RemoteModel(self.client, self.grpc, name, ranks, is_decoupled(config))
        outputs = [item["name"] for item in config["output"]]
        used = {step["model_name"]: self.models[step["model_name"]] for step in steps}
        with ExitStack() as stack:
            sessions = {
                step: stack.enter_context(self._newest(model)) for step, model in used.items()
            }
            local = partial(run_steps, steps, sessions, outputs)
            pairs = _pairs(sent, local, partial(served.run, version=1))
        loosest = max(
            (precision_of(model.facts) for model in used.values()),
            key=lambda item: TOLERANCES[item].relative,
        )
        return _judge(name, loosest, pairs, compared)

    def _newest(self, model: StoredModel) -> AbstractContextManager[ChildSession]:
        """The newest version of a model, run on this machine.

        Raises:
            InvalidInputError: TG836, its file is not in the repository, or its format has no run;
                TG149, it is a program that may not run.
        """
        facts = model.facts
        if facts.format not in RUNTIMES or not model.mains:
            raise InvalidInputError("TG836", f"no local run of {facts.name}", where=facts.name)
        config = config_document(self.client, facts.name)
        return self.local.session(facts, model.mains[max(model.mains)], config)


def _pairs(
    sent: Sequence[Sample],
    local: Callable[[Outputs], Outputs],
    served: Callable[[Outputs, Outputs], Outputs],
) -> list[Pair]:
    """The outputs of each request: what is expected of it, and what is served."""
    pairs = []
    for sample in sent:
        expected = local(sample.inputs)
        got = served(sample.inputs, expected)
        pairs.append(Pair(expected, got, sample.place))
        wanted = {name: array for name, array in sample.expected.items() if name in got}
        if wanted:
            same = {name: got[name] for name in wanted}
            pairs.append(Pair(wanted, same, sample.place, by_user=True))
    return pairs


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


def _judge(
    model: str,
    precision: Precision,
    pairs: Sequence[Pair],
    compared: str,
) -> VerifiedModel:
    tolerance = TOLERANCES[precision]
    outputs = []
    reasons = []
    for name in dict.fromkeys(name for pair in pairs for name in (*pair.expected, *pair.served)):
        worst, within = 0.0, True
        for pair in pairs:
            expected, served = pair.expected, pair.served
            place = f" on {pair.place}" if pair.place else ""
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
                whose = "expected" if pair.by_user else "locally"
                reasons.append(f"{name} has shape {right.shape}, {whose} {left.shape}{place}")
                continue
            # A scalar is served as [1], and a row that is the batch axis alone as [n, 1].
            right = right.reshape(left.shape)
            found = gap(name, left, right, tolerance, near_zero=NEAR_ZERO[precision])
            worst = max(worst, found.difference)
            if found.exceeds:
                within = False
                whose = " from what is expected" if pair.by_user else ""
                reasons.append(f"{name} differs by {found.difference:.3g}{whose}{place}")
        outputs.append(VerifiedOutput(name, worst, within))
    ok = all(item.within for item in outputs)
    more = f"; and {len(reasons) - MAX_REASONS} more" if len(reasons) > MAX_REASONS else ""
    reason = "; ".join(reasons[:MAX_REASONS]) + more
    return VerifiedModel(model, ok, tuple(outputs), reason or f"{compared} compared")
