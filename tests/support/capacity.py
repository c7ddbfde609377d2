"""Models, traffic and machines to plan with: short to write, with what a test is about."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import cache

from tritongen.fleet.capacity.demand import demand_of
from tritongen.fleet.capacity.model_profile import ModelProfile, profile_model
from tritongen.fleet.capacity.sizing import CapacityInput
from tritongen.fleet.catalogue import Catalogue, Machine, parse_catalogue
from tritongen.fleet.traffic.rate_profile import RateProfile, scaled_shape
from tritongen.model.business import STEP_S, Business, Pattern, week_shape
from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Cost,
    Evidence,
    ModelEvidence,
    ObservedTensor,
    Trial,
)
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.tensors import DType, TensorSpec
from tritongen.resources import template_text

CPU = "Intel Xeon Platinum 8370C"
ZONE = UTC


@cache
def catalogue() -> Catalogue:
    """The shipped price list."""
    return parse_catalogue(template_text("data/instance_types.csv"), "instance_types.csv")


def machine(name: str) -> Machine:
    """One machine type of it."""
    return next(one for one in catalogue().machines if one.name == name)


def model_facts(name: str, weight_bytes: int = 20 * 2**20) -> ModelFacts:
    """An ONNX model with a batch axis."""
    return ModelFacts(
        name,
        f"{name}/model.onnx",
        ModelFormat.ONNX,
        inputs=(TensorSpec("x", DType.FP32, ("n", 64)),),
        outputs=(TensorSpec("y", DType.FP32, ("n", 10)),),
        weight_bytes=weight_bytes,
    )


def trial_evidence(ms: float, item: float = 1.0, spread: float = 0.1) -> ModelEvidence:
    """A trial: `ms` alone; in a batch each further row takes `item` of that."""
    costs = tuple(Cost(batch, 1, ms * (1.0 + item * (batch - 1)), spread) for batch in (1, 2, 4, 8))
    trial = Trial(
        "onnxruntime 1.32.0",
        ok=True,
        inputs=(ObservedTensor("x", DType.FP32, (1, 64)),),
        outputs=(ObservedTensor("y", DType.FP32, (1, 10)),),
        proof=BatchProof(BatchVerdict.PROVEN, "rows are what they are alone"),
        costs=(*costs, Cost(1, 2, ms * 0.6, spread)),
        zeros_ok=True,
        peak_bytes=30 * 2**20,
    )
    return ModelEvidence((), trial)


def capacity_input(
    models: Mapping[str, tuple[float, ModelIntent]],
    business: Business | None = None,
    *,
    item: float = 1.0,
    machines: Sequence[Machine] = (),
    profiles: Mapping[str, RateProfile] | None = None,
    cpu: str = CPU,
) -> CapacityInput:
    """Inputs of a plan: each model has its milliseconds alone and its intent."""
    wishes = business or Business()
    facts = tuple(model_facts(name) for name in models)
    intent = Intent(models={name: one for name, (_, one) in models.items()}, business=wishes)
    evidence = {name: trial_evidence(ms, item) for name, (ms, _) in models.items()}
    known_models: dict[str, ModelProfile] = {}
    for one in facts:
        profile = profile_model(one, intent.of(one.name), evidence[one.name], wishes, cpu)
        assert profile is not None
        known_models[one.name] = profile
    rates = profiles or {
        name: profile_of(one.pattern or wishes.pattern, one.rate or 0.0, one.peak_rate)
        for name, (_, one) in models.items()
    }
    return CapacityInput(
        models=facts,
        intent=intent,
        evidence=Evidence(evidence),
        profiles=known_models,
        demand=demand_of({name: rates[name] for name in models}),
        patterns=dict.fromkeys(models, "a pattern"),
        machines=tuple(machines) or catalogue().machines,
    )


def profile_of(pattern: Pattern, average: float, peak: float | None = None) -> RateProfile:
    """A week of a pattern at a mean rate."""
    if average <= 0.0:
        return RateProfile(STEP_S, (0.0,) * 2016)
    return RateProfile(STEP_S, scaled_shape(week_shape(pattern), average, peak))
