"""Language models that `tritongen.yaml` alone describes: the arguments of a vLLM engine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tritongen.formats.discovery import name_fault
from tritongen.formats.vllm import with_arguments
from tritongen.model.facts import ModelFacts, ModelFormat, ModelVersion
from tritongen.model.intent import Intent

_PATH = "tritongen.yaml"


def stated_engines(intent: Intent) -> tuple[ModelFacts, ...]:
    """The models whose `engine` names a model."""
    return tuple(
        _stated(name, model.engine)
        for name, model in sorted(intent.models.items())
        if "model" in model.engine
    )


def _stated(name: str, arguments: Mapping[str, object]) -> ModelFacts:
    facts = ModelFacts(name, _PATH, ModelFormat.VLLM, versions=(ModelVersion(1, ()),))
    if (fault := name_fault(name)) is not None:
        facts = replace(facts, findings=(fault,))
    facts = with_arguments(facts, arguments)
    text = json.dumps(arguments, indent=2, ensure_ascii=False, default=str) + "\n"
    vllm = replace(facts.vllm, written=text) if facts.vllm is not None else None
    return replace(facts, vllm=vllm)


def with_engines(
    models: Sequence[ModelFacts], stated: Sequence[ModelFacts], intent: Intent
) -> tuple[ModelFacts, ...]:
    """The models of a folder and those that are stated, by name.

    A model with files of its own is told where `engine` has nothing to say to it.
    """
    found = {facts.name: facts for facts in stated}
    for facts in models:
        own = facts
        if facts.template is None and intent.of(facts.name).engine:
            message = f"`engine` is not read: {facts.path} says what the model is"
            fix = f"Take models.{facts.name}.engine out of tritongen.yaml."
            fault = facts.finding("TG305", message, fix=fix)
            own = replace(facts, findings=(*facts.findings, fault))
        found[facts.name] = own
    return tuple(found[name] for name in sorted(found))
