"""What of a plan concerns GPUs: machine types by an estimate, language models and pipelines.

Of a model that its backend serves in its own way nothing runs here. What is planned for it is
memory: whether it fits, on which cards, and how much its cache holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritongen.fleet.capacity.capacity_plan import TrafficSummary
from tritongen.fleet.capacity.gpu_options import GpuOption, gpu_options
from tritongen.fleet.capacity.language_models import LanguageModelPlan, language_model_plans
from tritongen.fleet.catalogue import Machine, parse_catalogue
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.intent import Intent
from tritongen.planner.engine_models import has_engine
from tritongen.queueing import OpenLoop
from tritongen.resources import template_text
from tritongen.triton.address import Endpoint

_SHIPPED_GPUS = "data/gpu_instance_types.csv"
# Stands for a server that is to be.
_SERVER = "localhost:8000"


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """What is known without a measurement.

    Attributes:
        options: machine types with GPUs, the cheapest first.
        language_models: one for each engine.
        findings: whose throughput is not predicted, and what measures it.
    """

    options: tuple[GpuOption, ...] = ()
    language_models: tuple[LanguageModelPlan, ...] = ()
    findings: tuple[Finding, ...] = ()


def served_in_own_way(models: Sequence[ModelFacts], intent: Intent) -> tuple[ModelFacts, ...]:
    """The models to serve of which nothing runs here: language models and pipelines of DALI."""
    return tuple(
        facts
        for facts in models
        if has_engine(facts) and facts.servable and intent.of(facts.name).serve
    )


def plan_on_gpus(
    machines: Sequence[Machine],
    models: Sequence[ModelFacts],
    intent: Intent,
    evidence: Evidence,
    traffic: Sequence[TrafficSummary],
) -> GpuPlan:
    """What of a plan concerns GPUs.

    Args:
        machines: of the user's choice, beside the shipped ones.
        models: that are served.
        intent: of the project.
        evidence: of the models.
        traffic: of those whose times are known.
    """
    shipped = parse_catalogue(template_text(_SHIPPED_GPUS), _SHIPPED_GPUS)
    peaks = {one.model: one.peak_rate for one in traffic}
    offered = (*shipped.machines, *machines)
    engines = tuple(language_model_plans(models, intent, evidence))
    found = gpu_options(offered, models, intent, evidence, peaks)
    return GpuPlan(found, engines, tuple(_unpredicted(models, engines)))


def _unpredicted(
    models: Sequence[ModelFacts], engines: Sequence[LanguageModelPlan]
) -> Iterator[Finding]:
    """That throughput is to be measured, and how."""
    known = {one.name: one for one in engines}
    for facts in models:
        if not has_engine(facts) or (facts.template is not None and facts.name not in known):
            continue  # the other models of a TensorRT-LLM set wait for its engine
        if facts.name in known:
            message = "memory is planned for; throughput is not predicted, since tokens decide it"
            fix = f"pip install aiperf; {measuring_command(known[facts.name])}"
        else:
            message = "memory is planned for; its times are not predicted: nothing here runs it"
            fix = f"Measure it on a GPU: tritongen probe -m {facts.name}."
        yield facts.finding("TG356", message, severity=Severity.INFO, fix=fix)


def measuring_command(plan: LanguageModelPlan) -> str:
    """AIPerf's command for a server on this machine."""
    from tritongen.probe.language_models import aiperf_command

    endpoint = Endpoint.parse(_SERVER, protocol=ClientProtocol.HTTP)
    loads = (OpenLoop(plan.rate),) if plan.rate else ()
    return aiperf_command(endpoint, plan.asked, plan.requests, loads)
