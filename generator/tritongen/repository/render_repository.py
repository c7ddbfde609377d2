"""From a serving plan to the texts of a repository and its lock."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tritongen.config.config_message import ConfigMessage, build_ensemble, build_message
from tritongen.config.config_text import Header, render_config
from tritongen.config.given_config import given_message
from tritongen.config.overlay import apply_overlay
from tritongen.model.backends import BACKENDS, ThreadScope, threads_each
from tritongen.model.evidence import Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import Intent
from tritongen.model.lock import (
    Lock,
    LockedModel,
    LockedTarget,
    ServerShare,
    is_rate_limited,
    server_of,
)
from tritongen.model.serving_plan import EnsemblePlan, ModelPlan, Reason, ServingPlan, Source
from tritongen.model.variants import LABELS_FILE, StepKind, Variant
from tritongen.planner import held_by_environment
from tritongen.planner.gpu_placement import bytes_on_cards
from tritongen.repository import lock_file
from tritongen.repository.project import CpuBudget
from tritongen.repository.shared_memory_size import Room, room_of

CONFIG_FILE = lock_file.CONFIG_FILE
# Triton wants a version folder, and git keeps no empty one.
KEEP_FILE = "1/.keep"
KEEP_TEXT = "An ensemble has no files of its own.\n"
_ENGINE_KEEP_TEXT = "Its files lie elsewhere on the server, or it has none of its own.\n"
VLLM_FILE = "model.json"
# TYPE_FP16, TYPE_FP32 and TYPE_FP64.
_SCORES = frozenset({10, 11, 12})


@dataclass(frozen=True, slots=True)
class RenderedModel:
    """One model's configuration as message and as text.

    `labels` are its class names, one a line; `variant` the variant that is served, empty for the
    original.
    """

    plan: ModelPlan
    facts: ModelFacts
    config: ConfigMessage
    text: str
    labels: str = ""
    variant: str = ""

    @property
    def path(self) -> str:
        """Path of the text, relative to the repository."""
        return f"{self.plan.name}/{CONFIG_FILE}"

    @property
    def files(self) -> Mapping[str, str]:
        """Text by path, relative to the repository."""
        folder = self.plan.name
        named = {f"{folder}/{LABELS_FILE}": self.labels} if self.labels else {}
        if self.facts.vllm is not None and self.facts.vllm.written:
            named[f"{folder}/1/{VLLM_FILE}"] = self.facts.vllm.written
        elif self.facts.template is not None:
            empty = (item.number for item in self.facts.versions if not item.files)
            named |= {f"{folder}/{number}/.keep": _ENGINE_KEEP_TEXT for number in empty}
        return {self.path: self.text, **named}


def render_models(
    plan: ServingPlan,
    models: tuple[ModelFacts, ...],
    variants: Mapping[str, Variant] = MappingProxyType({}),
) -> tuple[RenderedModel, ...]:
    """Every planned model's configuration.

    Args:
        plan: of the server.
        models: facts of every model, of the variants where they stand in for their originals.
        variants: those, by model.

    Raises:
        EnvironmentProblem: TG001, a text would not parse back to its message.
    """
    facts = {model.name: model for model in models}
    return tuple(
        render_model(model, facts[model.name], variants.get(model.name)) for model in plan.models
    )


@dataclass(frozen=True, slots=True)
class Outline:
    """What is kept of a model's configuration once its text is written or compared.

    Attributes:
        plan: of the model.
        facts: of the model, or of the variant that stands in for it.
        backend: that serves it.
        instances: of all groups, the overlay's included.
        threads: of each instance, the overlay's parameters included.
        max_batch_size: as written.
        batching: whether the dynamic batcher is on.
        digests: (path relative to the repository, sha256) of every text.
        room: that its tensors take in shared memory.
        variant: that is served, empty for the original.
    """

    plan: ModelPlan
    facts: ModelFacts
    backend: str
    instances: int
    threads: int
    max_batch_size: int
    batching: bool
    digests: tuple[tuple[str, str], ...]
    room: Room
    variant: str = ""


def outline(item: RenderedModel) -> Outline:
    """What is kept of a rendered model."""
    message = item.config.message
    instances = sum(entry.count for entry in message.instance_group)
    instances = instances or item.plan.instances.value
    return Outline(
        plan=item.plan,
        facts=item.facts,
        backend=message.backend,
        instances=instances,
        threads=_threads(item, instances),
        max_batch_size=message.max_batch_size,
        batching=message.HasField("dynamic_batching"),
        digests=tuple((path, digest(text.encode())) for path, text in item.files.items()),
        room=room_of(message),
        variant=item.variant,
    )


def _threads(item: RenderedModel, instances: int) -> int:
    """Threads of each instance as written, where the configuration states them at all."""
    message = item.config.message
    rule = BACKENDS[message.backend].threads if message.backend in BACKENDS else None
    if rule is None or rule.intra_key not in message.parameters:
        return item.plan.threads.value
    stated = {key: one.string_value for key, one in message.parameters.items()}
    threads = threads_each(rule, stated, {}) or item.plan.threads.value
    return max(1, threads // instances) if rule.scope is ThreadScope.MODEL else threads


@dataclass(frozen=True, slots=True)
class RenderedEnsemble:
    """A pipeline's configuration as text, and the file that keeps its version folder in git."""

    plan: EnsemblePlan
    text: str
    room: Room

    @property
    def files(self) -> Mapping[str, str]:
        """Text by path, relative to the repository."""
        folder = self.plan.name
        return {f"{folder}/{CONFIG_FILE}": self.text, f"{folder}/{KEEP_FILE}": KEEP_TEXT}


def render_ensembles(plan: ServingPlan) -> tuple[RenderedEnsemble, ...]:
    """Every pipeline's configuration.

    Raises:
        EnvironmentProblem: TG001, a text would not parse back to its message.
    """
    return tuple(map(_render_ensemble, plan.ensembles))


def _render_ensemble(plan: EnsemblePlan) -> RenderedEnsemble:
    config = build_ensemble(plan)
    text = render_config(config, Header(plan.name, "tritongen.yaml's pipelines"))
    return RenderedEnsemble(plan, text, room_of(config.message))


def render_model(plan: ModelPlan, facts: ModelFacts, variant: Variant | None) -> RenderedModel:
    """One model's configuration.

    Raises:
        EnvironmentProblem: TG001, the text would not parse back to its message.
    """
    given = facts.template
    config = build_message(plan) if given is None else given_message(plan.name, given)
    labels = ""
    notes = _notes(plan)
    if variant is not None:
        config, labels = _as_variant(config, variant)
        moved = [f"clients send or read another layout: {what}" for what in variant.moved]
        notes = (f"variant {variant.name}: {variant.reason}", *moved, *notes)
    config = apply_overlay(config, plan.overlay)
    header = Header(plan.name, facts.path, notes)
    name = variant.name if variant is not None else ""
    return RenderedModel(plan, facts, config, render_config(config, header), labels, name)


def _as_variant(config: ConfigMessage, variant: Variant) -> tuple[ConfigMessage, str]:
    """The configuration with what a variant brings along, and the text of its class names."""
    for step in variant.steps:
        source = Source.TARGET if step.kind is StepKind.ACCELERATOR else Source.MEASURED
        config = apply_overlay(config, step.overlay, Reason(source, step.reason))
    # A name with a line break cannot stand in a file of one name a line.
    if any(len(name.splitlines()) != 1 for name in variant.labels):
        return config, ""
    for output in config.message.output:
        # Triton names the places of an output's greatest numbers; of an index it would name none.
        if output.name == variant.labels_of and output.data_type in _SCORES:
            output.label_filename = LABELS_FILE
    return config, "".join(f"{name}\n" for name in variant.labels)


def _notes(plan: ModelPlan) -> tuple[str, ...]:
    return tuple(f"{item.severity.value} {item.code}: {item.message}" for item in plan.findings)


def make_lock(
    plan: ServingPlan,
    outlines: Iterable[Outline],
    evidence: Evidence,
    budget: CpuBudget,
    intent: Intent,
    ensembles: tuple[RenderedEnsemble, ...] = (),
) -> Lock:
    """The lock of a repository that holds these configurations."""
    models: dict[str, LockedModel] = {}
    written: dict[str, str] = {}
    shares: dict[str, ServerShare] = {}
    limited = is_rate_limited(plan.server.flags)
    for item in outlines:
        models[item.plan.name] = _locked(item, evidence.models)
        written.update(item.digests)
        shares[item.plan.name] = ServerShare(
            held=held_by_environment(item.plan),
            limited=limited,
            cached=item.plan.response_cache is not None,
            room_bytes=item.room.needed(evidence.models[item.plan.name].trial),
            gpu_bytes=bytes_on_cards(item.plan, intent.target.gpus),
        )
    for ensemble in ensembles:
        shares[ensemble.plan.name] = ServerShare(room_bytes=ensemble.room.needed(None))
        written |= {path: digest(text.encode()) for path, text in ensemble.files.items()}
    tried = {name: item for name, item in evidence.models.items() if item.trial is not None}
    return Lock(
        tool=lock_file.TOOL,
        target=LockedTarget(
            triton=intent.target.triton,
            cores=budget.cores.value,
            machine=budget.machine,
            memory_bytes=intent.target.memory_bytes,
            gpus=intent.target.gpus,
            gpu=intent.target.gpu,
        ),
        server=server_of(budget.cores.value, models, shares),
        models=models,
        written=written,
        refused={name: tried[name] for name, _ in plan.refused if name in tried},
        shares=shares,
    )


def _locked(item: Outline, evidence: Mapping[str, ModelEvidence]) -> LockedModel:
    return LockedModel(
        source=item.facts.path,
        format=item.facts.format,
        backend=item.backend,
        threads=item.plan.threads.value,
        instances=item.instances,
        evidence=evidence[item.plan.name],
        facts=_kept(item.facts),
    )


def _kept(facts: ModelFacts) -> ModelFacts:
    """What holds everywhere: no findings, which another version may word otherwise, and no sizes.

    A language model's weights may lie in a folder that the next machine does not have.
    """
    vllm, template = facts.vllm, facts.template
    if vllm is not None:
        vllm = replace(vllm, size=None)
    if template is not None and template.engine is not None:
        template = replace(template, engine=replace(template.engine, size=None))
    return replace(facts, vllm=vllm, template=template, findings=())


def digest(data: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()
