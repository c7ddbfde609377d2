"""One model as the tuner sees it: its space, its configurations, and its requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tritongen.model.backends import BackendRules, BatchSupport
from tritongen.model.evidence import BatchVerdict, Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.serving_plan import ModelPlan, Planned, Reason, ServingPlan, Source
from tritongen.planner import plan_serving
from tritongen.planner.context import CLIENT_ROWS, ModelInput
from tritongen.planner.gpu_memory import gpu_memory, room_of
from tritongen.planner.gpu_rows import MAX_GPU_ROWS
from tritongen.planner.instances import fitting_instances
from tritongen.planner.model_settings import reads_arena
from tritongen.planner.tuned_choice import still_tuned
from tritongen.queueing import ServiceTimes, trial_points
from tritongen.repository.render_repository import render_models
from tritongen.tune.search.objective import Objective, goal_of_intent, parse_goal
from tritongen.tune.search.search_space import DEFAULT_MAX_BATCH, Candidate, SearchSpace
from tritongen.tune.tune_options import TuneOptions

# What Triton takes for a batch where nothing is said, for backends that complete it.
_DEFAULT_BATCH = 4
# Running operators side by side is tried where the trial found it at least nearly as fast.
_PARALLEL_SLACK = 1.10
# Instances on a GPU beyond these rarely pay; Model Analyzer looks at five at most.
_MAX_GPU_INSTANCES = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to tune.

    Attributes:
        facts: of the model.
        intent: the whole intent.
        wanted: of this model, the goals of its pipelines included.
        evidence: of this model, without an earlier tuning.
        cores: that it may use.
        objective: its goal.
        space: what may be chosen.
        incumbent: today's configuration.
        built: what `build` writes from the trial alone.
        baseline: the auto-completed configuration.
        prior: service times of the trial, None without.
        variant: that stands in for the model, empty for what is served.
        gpu: card that it runs on, empty for CPUs.
        room: instances that a card holds at once, 0 where CPUs are what counts.
    """

    facts: ModelFacts
    intent: Intent
    wanted: ModelIntent
    evidence: ModelEvidence
    cores: int
    objective: Objective
    space: SearchSpace
    incumbent: Candidate
    built: Candidate
    baseline: Candidate
    prior: ServiceTimes | None
    variant: str = ""
    gpu: str = ""
    room: int = 0

    @property
    def name(self) -> str:
        """The model's name."""
        return self.facts.name

    @property
    def rate_per_s(self) -> float | None:
        """Requests per second: the goal's, else those of tritongen.yaml; None without either."""
        stated = self.intent.of(self.name).planning_rate
        return stated if self.objective.rate_per_s is None else self.objective.rate_per_s


def make_subject(
    model: ModelInput, intent: Intent, evidence: ModelEvidence, cores: int, options: TuneOptions
) -> Subject:
    """A model with everything that its tuning needs.

    Args:
        model: what its planning rests on; an earlier tuning is today's configuration.
        intent: the whole intent.
        evidence: of the model.
        cores: that it may use.
        options: of the run.

    Raises:
        InvalidInputError: TG304, the goal is none; TG305, the user's own instances and threads do
            not fit the cores.
    """
    space, goal = _space(model, intent, cores), options.goal_of(model.facts.name)
    if model.on_gpu:
        space = _on_gpu(model, space)
    untuned = replace(evidence, tuned=None)
    holds = still_tuned(model, cores)[0].tuned
    known = replace(holds, wanted=None, cores=0) if holds is not None else None

    def planned(seen: ModelEvidence) -> Candidate:
        plan = _plan(model.facts, intent, seen, cores).models[0]
        today = candidate_of(plan, model.backend)
        return today if today.total_threads <= cores else space.one_thread_each

    return Subject(
        model.facts,
        intent,
        model.intent,
        untuned,
        cores,
        parse_goal(goal) if goal else goal_of_intent(model.intent),
        space,
        planned(replace(evidence, tuned=known)),
        planned(untuned),
        _baseline(model, intent, untuned, cores),
        None if model.on_gpu else _prior(evidence, cores),
        gpu=model.device,
        room=_room(model, space) if model.on_gpu else 0,
    )


def _plan(facts: ModelFacts, intent: Intent, evidence: ModelEvidence, cores: int) -> ServingPlan:
    """The plan of a server with this model alone."""
    budget = Planned(cores, Reason(Source.TARGET, f"{cores} cores for {facts.name}"))
    alone = replace(intent, pipelines={})
    return plan_serving((facts,), alone, Evidence({facts.name: evidence}), budget)


def candidate_of(plan: ModelPlan, backend: BackendRules) -> Candidate:
    """A plan as a candidate."""
    values = {key: value.value for key, value in plan.parameters}
    inter = 1
    if backend.threads.mode_key and values.get(backend.threads.mode_key) == "1":
        inter = int(values.get(backend.threads.inter_key, "1"))
    delay = plan.batching.queue_delay_us.value if plan.batching is not None else None
    threads = max(1, plan.threads.value - inter + 1)
    arena = values.get(backend.arena_key) != "0"
    return Candidate(plan.instances.value, threads, plan.max_batch_size.value, delay, inter, arena)


def _space(model: ModelInput, intent: Intent, cores: int) -> SearchSpace:
    own = model.intent
    python = model.facts.python.max_batch_size if model.facts.python is not None else None
    limits = [limit for limit in (own.max_batch_size, python) if limit is not None]
    batchable = _batchable(model)
    most = min((DEFAULT_MAX_BATCH, *limits)) if batchable else 1
    keeps = batchable or model.backend.batching is BatchSupport.REQUIRED
    client_rows = min((max(CLIENT_ROWS, own.most_rows), *limits)) if keeps else 0
    return SearchSpace(
        backend=model.backend,
        cores=cores,
        batchable=batchable and most > 1,
        max_batch=max(1, most),
        parallel=_parallel(model),
        # An overlay of parameters has the last word, whatever is measured.
        arena_test=reads_arena(model) and "parameters" not in own.overlay,
        request_rows=own.request_batch,
        max_instances=fitting_instances(model, intent.target.memory_bytes),
        client_rows=client_rows,
        fixed_instances=own.instances,
        fixed_threads=own.threads,
    )


def _on_gpu(model: ModelInput, space: SearchSpace) -> SearchSpace:
    """The space of a model on a GPU: a thread feeds each instance, and memory is the card's."""
    batched, own = space.max_batch > 1, model.intent.instances
    most = model.limited(MAX_GPU_ROWS) if batched else 1
    return replace(
        space,
        max_batch=max(1, most),
        parallel=(),
        arena_test=False,
        max_instances=own or min(_MAX_GPU_INSTANCES, max(1, _fitting(model, 1))),
        fixed_threads=1,
    )


def _fitting(model: ModelInput, rows: int) -> int:
    """Instances of so many rows that a card holds; a few where its memory is not known."""
    room = room_of(model.gpu) if model.gpu is not None else None
    if room is None:
        return _MAX_GPU_INSTANCES
    return room // max(1, gpu_memory(model, rows, 1).total)


def _room(model: ModelInput, space: SearchSpace) -> int:
    """Instances that stay loaded beside each other while they are compared."""
    return max(_MAX_GPU_INSTANCES, _fitting(model, space.max_batch))


def _batchable(model: ModelInput) -> bool:
    """Whether rows of different requests may share an execution."""
    own = model.intent
    python = model.facts.python
    forbidden = own.batch is False or own.max_batch_size == 0
    if forbidden or (python is not None and python.max_batch_size == 0):
        return False
    if not model.syntactic_batch or model.backend.batching is BatchSupport.EXACT:
        return False
    if model.verdict is BatchVerdict.UNTESTED:
        return own.batch is True or model.backend.batching is BatchSupport.REQUIRED
    return model.verdict is BatchVerdict.PROVEN


def _parallel(model: ModelInput) -> tuple[int, ...]:
    """Inter-op threads worth a try: where the graph has side branches that did not slow the trial.

    Without a trial a graph of several operators' width is tried with two.
    """
    graph, trial = model.facts.graph, model.trial
    if graph is None or graph.width < 2:
        return ()
    alone = model.cost_ms(1, 1)
    if trial is None or alone is None:
        return (2,)
    found = {
        cost.inter_op
        for cost in trial.costs
        if cost.inter_op > 1
        and cost.ms <= _PARALLEL_SLACK * (model.cost_ms(cost.batch, cost.threads) or alone)
    }
    return tuple(sorted(found))


def _prior(evidence: ModelEvidence, cores: int) -> ServiceTimes | None:
    points = trial_points(evidence.trial)
    return ServiceTimes(points, float(cores)) if points else None


def _baseline(model: ModelInput, intent: Intent, evidence: ModelEvidence, cores: int) -> Candidate:
    """The auto-completed configuration: its count of instances, each with threads for all cores."""
    completes = "max_batch_size" in model.backend.completes and model.syntactic_batch
    wanted = Candidate(1, 1, _DEFAULT_BATCH, 0) if completes else Candidate(1, 1)
    chosen = wanted.tuned("", {}, gpu=model.device)
    plan = _plan(model.facts, intent, replace(evidence, tuned=chosen), cores)
    found = plan.models[0]
    size = found.max_batch_size.value
    # On a GPU Triton makes one instance, and CPU threads are nobody's choice.
    usual = (1, 1) if model.on_gpu else (model.backend.default_cpu_instances, cores)
    return Candidate(*usual, size, 0 if found.batching is not None else None)


@dataclass(frozen=True, slots=True)
class Loadable:
    """A configuration that a server can load.

    Attributes:
        key: unlike for everything that differs.
        config: in JSON's terms.
        environment: variables that the server must have been started with.
        instances: that it holds.
    """

    key: str
    config: Mapping[str, Any]
    environment: tuple[tuple[str, str], ...]
    instances: int


def loadable(
    subject: Subject, candidate: Candidate, *, default: bool = False, unpinned: int = 0
) -> Loadable:
    """A candidate by the renderer that `build` uses.

    Args:
        subject: the model.
        candidate: its configuration.
        default: render the auto-completed configuration instead: no thread is limited.
        unpinned: threads that the backend would start by itself, to be stated in that rendering
            where they would pin themselves to CPUs that the server must not use; 0 for none.
    """
    from google.protobuf import json_format  # heavy, and only wanted here

    asked = replace(candidate, instances=1, threads=1) if default else candidate
    # Calibration may ask for fewer instances than the user fixed; the thread rule holds anyway.
    chosen = asked.tuned("", {}, subject.cores, subject.gpu)
    evidence = replace(subject.evidence, tuned=chosen)
    plan = _plan(subject.facts, subject.intent, evidence, subject.cores)
    rendered = render_models(plan, (subject.facts,))[0]
    message = rendered.config.message
    # Equal requests must be computed each time: the cache is not what is measured.
    message.ClearField("response_cache")
    _fitting_warmup(message)
    if default:
        rule = subject.space.backend.threads
        _strip(message, subject.space.backend, candidate.instances)
        if unpinned and rule.pins:
            message.parameters[rule.intra_key].string_value = str(unpinned)
    config: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    environment = tuple((name, value.value) for name, value in plan.server.environment)
    limited = _by_environment(subject.space.backend) and not default
    return Loadable(
        f"{subject.name} {subject.variant} {'default' if default else candidate.key}",
        config,
        environment if limited else _neutral(environment),
        sum(max(1, group.count) for group in message.instance_group) or 1,
    )


def _by_environment(backend: BackendRules) -> bool:
    """Whether threads are a matter of the server's environment."""
    return bool(backend.threads.environment) and not backend.threads.intra_key


def _neutral(environment: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Variables without those that only say how many threads libraries may start."""
    return tuple((name, value) for name, value in environment if not name.endswith("_NUM_THREADS"))


def _fitting_warmup(message: Any) -> None:  # noqa: ANN401  (ModelConfig)
    """Leaves out samples that an overlay's max_batch_size refuses.

    Each would fail the load, and a failed warm-up may end the whole server (Triton 2.51 by
    SIGSEGV).
    """
    most = max(1, message.max_batch_size)
    for number in reversed(range(len(message.model_warmup))):
        if message.model_warmup[number].batch_size > most:
            del message.model_warmup[number]


def _strip(message: Any, backend: BackendRules, instances: int) -> None:  # noqa: ANN401  (ModelConfig)
    """Leaves what the auto-completed configuration holds."""
    rule = backend.threads
    for key in (rule.intra_key, rule.inter_key, rule.mode_key, rule.streams_key):
        if key:
            message.parameters.pop(key, None)
    message.instance_group[0].count = instances
