"""From a serving plan to the texts of a repository and its lock."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from tritongen import __version__
from tritongen.app.project import Target
from tritongen.domain.evidence import Evidence, ModelEvidence
from tritongen.domain.facts import ModelFacts
from tritongen.domain.intent import Intent
from tritongen.domain.lock import Lock, LockedModel, LockedServer, LockedTarget
from tritongen.domain.plan import ModelPlan, ServingPlan
from tritongen.render.message import ConfigMessage, build_message
from tritongen.render.overlay import apply_overlay
from tritongen.render.text import Header, render_config

CONFIG_FILE = "config.pbtxt"


@dataclass(frozen=True, slots=True)
class RenderedModel:
    """One model's configuration as message and as text."""

    plan: ModelPlan
    facts: ModelFacts
    config: ConfigMessage
    text: str

    @property
    def path(self) -> str:
        """Path of the text, relative to the repository."""
        return f"{self.plan.name}/{CONFIG_FILE}"


def render_models(plan: ServingPlan, models: tuple[ModelFacts, ...]) -> tuple[RenderedModel, ...]:
    """Every planned model's configuration.

    Raises:
        EnvironmentProblem: TG001, a text would not parse back to its message.
    """
    facts = {model.name: model for model in models}
    return tuple(_render(model, facts[model.name]) for model in plan.models)


def _render(plan: ModelPlan, facts: ModelFacts) -> RenderedModel:
    config = apply_overlay(build_message(plan), plan.overlay)
    header = Header(plan.name, facts.path, _notes(plan))
    return RenderedModel(plan, facts, config, render_config(config, header))


def _notes(plan: ModelPlan) -> tuple[str, ...]:
    return tuple(f"{item.severity.value} {item.code}: {item.message}" for item in plan.findings)


def make_lock(
    plan: ServingPlan,
    rendered: tuple[RenderedModel, ...],
    evidence: Evidence,
    target: Target,
    intent: Intent,
) -> Lock:
    """The lock of a repository that holds these texts."""
    models = {item.plan.name: _locked(item, evidence.models) for item in rendered}
    return Lock(
        tool=f"tritongen {__version__}",
        target=LockedTarget(
            triton=intent.target.triton,
            cores=target.cores.value,
            machine=target.machine,
            memory_bytes=intent.target.memory_bytes,
            gpus=intent.target.gpus,
        ),
        server=LockedServer(
            environment={name: value.value for name, value in plan.server.environment},
            flags=tuple((name, value.value) for name, value in plan.server.flags),
        ),
        models=models,
        written={item.path: digest(item.text.encode()) for item in rendered},
    )


def _locked(item: RenderedModel, evidence: Mapping[str, ModelEvidence]) -> LockedModel:
    group = item.config.message.instance_group
    return LockedModel(
        source=item.facts.path,
        format=item.facts.format,
        backend=item.config.message.backend,
        threads=item.plan.threads.value,
        instances=sum(entry.count for entry in group) or item.plan.instances.value,
        evidence=evidence[item.plan.name],
    )


def digest(data: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()
