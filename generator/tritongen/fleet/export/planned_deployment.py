"""What an export takes from the plan of machines and from the price list."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import PlanFile, ServicePlan
from tritongen.fleet.catalogue import azureml_managed
from tritongen.fleet.export.deployment import PlannedService, Replicas
from tritongen.fleet.plan_fleet import shipped_catalogue
from tritongen.fleet.stored_plan import changed_models, read_plan
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.lock import Lock


@dataclass(frozen=True, slots=True)
class PlannedDeployment:
    """What a plan decided.

    Attributes:
        services: to deploy; empty without a plan.
        machine: machine type, empty without a plan.
        vcpus: its virtual CPUs, which are hardware threads.
        machine_cores: its physical cores.
        provider: of that machine type.
        time_zone: of every schedule.
        findings: on the plan.
    """

    services: tuple[PlannedService, ...] = ()
    machine: str = ""
    vcpus: int | None = None
    machine_cores: int | None = None
    provider: str = ""
    time_zone: str = "UTC"
    findings: tuple[Finding, ...] = ()

    def hardware_threads(self, cores: int) -> int:
        """What engines count as CPUs for so many physical cores of the machine.

        A core of it is left to its system, where that leaves a thread a core: what asks for a whole
        node is placed on none.
        """
        if not self.vcpus or not self.machine_cores:
            return cores
        each = max(1, self.vcpus // self.machine_cores)
        return max(cores, min(cores * each, self.vcpus - each))


def planned_deployment(
    repository: Path, path: Path | None, name: str, lock: Lock
) -> PlannedDeployment:
    """The stored plan of a repository; nothing where there is none.

    Args:
        repository: beside which the plan lies.
        path: where it lies instead.
        name: of the deployment.
        lock: of the repository.

    Raises:
        InvalidInputError: TG354 the plan cannot be read, TG750 it holds no services, TG761 its
            numbers of replicas contradict each other.
    """
    file = read_plan(repository, path)
    if file is None:
        return PlannedDeployment()
    option = file.option
    if not option.services:
        raise InvalidInputError("TG750", "the plan's choice holds no services", where=str(path))
    single = len(option.services) == 1
    return PlannedDeployment(
        services=tuple(
            _planned(one, name if single else _label(one.name), file) for one in option.services
        ),
        machine=option.machine.name,
        vcpus=option.machine.vcpus,
        machine_cores=option.machine.cores,
        provider=option.machine.provider,
        time_zone=file.time_zone,
        findings=tuple(_stale(file, lock)),
    )


def _label(name: str) -> str:
    """A DNS label of a service's name, which may be a model's."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (text if text[:1].isalpha() else f"s-{text}")[:40].rstrip("-")


def _planned(service: ServicePlan, name: str, file: PlanFile) -> PlannedService:
    scaling = file.business.scaling
    if not 1 <= service.least <= service.most or max(service.hourly, default=0) > service.most:
        raise InvalidInputError(
            "TG761",
            f"the plan has {service.least} to {service.most} replicas of {service.name}",
            fix="Plan again: `tritongen plan`.",
        )
    return PlannedService(
        name=name,
        models=tuple((one.name, one.instances, one.threads) for one in service.placement.models),
        cores=service.placement.cores,
        memory_bytes=service.memory_bytes or None,
        replicas=Replicas(
            least=service.least,
            most=service.most,
            hourly=service.hourly,
            start_up_s=service.start_up_s,
            interval_s=scaling.interval_s,
            cool_down_s=scaling.cool_down_s,
            planned=True,
        ),
        # The wait that the goals bear, times the share of the rate at which replicas are added.
        queue_target_us=int(service.queue_s * 1e6 * service.target),
        concurrency=service.concurrency,
        rate_per_s=service.rate_per_s,
        endpoints=service.endpoints,
    )


def _stale(file: PlanFile, lock: Lock) -> Iterator[Finding]:
    for name in changed_models(file, lock):
        yield finding(
            "TG750", Severity.WARNING, "the plan was made for another file of the model",
            fix="Plan again: `tritongen plan`.", model=name,
        )  # fmt: skip


def on_azure_machine(plan: PlannedDeployment, lock: Lock) -> PlannedDeployment:
    """The same on a machine type of Azure ML's managed endpoints: the plan's, else the cheapest.

    Raises:
        InvalidInputError: TG760, none of the list holds so many cores and GPUs.
    """
    machines = [one for one in shipped_catalogue().machines if azureml_managed(one)]
    same = [one for one in machines if one.name == plan.machine]
    if plan.provider == "azure" and same:
        return replace(plan, vcpus=same[0].vcpus, machine_cores=same[0].cores)
    cores = max((one.cores for one in plan.services), default=lock.target.cores)
    gpus = lock.target.gpus
    fitting = [one for one in machines if one.cores >= cores and one.gpus >= gpus]
    if not fitting:
        raise InvalidInputError(
            "TG760",
            f"no machine type of Azure ML's endpoints has {cores} cores and {gpus} GPUs",
            fix="Build for fewer cores: `tritongen build --cpus N`.",
        )
    best = min(fitting, key=lambda one: (one.usd_per_hour, one.name))
    what = f"{best.name} is the cheapest of Azure ML's machine types with {cores} cores"
    if plan.machine:
        what += f"; it does not offer the plan's {plan.machine}"
    severity = Severity.WARNING if plan.machine else Severity.INFO
    fix = "Plan with `platform: azureml`." if plan.machine else ""
    told = finding("TG760", severity, what, fix=fix)
    return replace(
        plan,
        machine=best.name,
        vcpus=best.vcpus,
        machine_cores=best.cores,
        findings=(*plan.findings, told),
    )
