"""A plan of machines: ranked options, each with its services, cost and what binds it; and its file.

The file is deterministic JSON: sorted keys, floats of six digits, lists of plain values on one
line. It lies beside the repository and can be committed with it; `export`, `observe` and `report`
read it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.container_capacity import ContainerPlacement
from tritongen.fleet.capacity.replicas import Policy
from tritongen.fleet.catalogue import Machine
from tritongen.model.business import Business
from tritongen.model.codec import decode_text, encode
from tritongen.model.findings import Finding

# Clients have given up by then: under overload a percentile says nothing beyond it.
GIVEN_UP_S = 60.0
SCHEMA_VERSION = 1
_SUFFIX = ".plan.json"


class Binding(StrEnum):
    """What keeps an option from being cheaper."""

    CPU = "cpu"
    LATENCY = "latency"
    MEMORY = "memory"
    NETWORK = "network"
    AVAILABILITY = "availability"
    PLATFORM = "platform"
    BUDGET = "budget"


class Estimate(StrEnum):
    """How an option's numbers came about."""

    SIMULATED = "simulated"
    BOUND = "bound"


@dataclass(frozen=True, slots=True)
class Range:
    """A latency with what it hardly falls below or exceeds, in seconds."""

    value: float
    low: float
    high: float

    @classmethod
    def bounded(cls, value: float, low: float, high: float) -> "Range":
        """A range in order; a queue that grows without end is told as `GIVEN_UP_S`."""
        value, low, high = (min(one, GIVEN_UP_S) for one in (value, low, high))
        return cls(value, min(low, value), max(high, value))


@dataclass(frozen=True, slots=True)
class ModelForecast:
    """What clients of one model will see.

    Attributes:
        model: its name.
        percentile: of the latency.
        latency_s: that percentile over the whole traffic.
        p99_s: the 99th percentile, whatever the goal's.
        limit_s: the goal.
        stated: whether the goal is the user's.
        late_share: share of requests later than the goal.
    """

    model: str
    percentile: float
    latency_s: Range
    p99_s: Range
    limit_s: float
    stated: bool
    late_share: float


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One deployment: containers of one kind.

    Attributes:
        name: of the service.
        placement: models with instances and threads, and the container's cores.
        memory_bytes: that one container needs.
        policy: what decides the number of replicas.
        least: replicas at least.
        most: replicas at most.
        mean_paid: replicas paid for on average.
        hourly: replicas by hour of the week, the greatest of each hour.
        rate_per_s: the greatest rate of one replica at the goals, in the mix of the busiest time.
        concurrency: requests at a time in one replica at that rate, at the goals' percentile.
        queue_s: mean wait in the queue at that rate.
        target: share of that rate at which the autoscaler aims.
        start_up_s: until a new replica serves.
        forecasts: of each model.
        mean_utilization: of the container's cores.
        peak_utilization: the same at the busiest time.
        binding: what keeps it from being cheaper.
        endpoints: among which the platform's limits divide requests and replicas, each an equal
            part; the numbers above are those of all of them.
    """

    name: str
    placement: ContainerPlacement
    memory_bytes: int
    policy: Policy
    least: int
    most: int
    mean_paid: float
    hourly: tuple[int, ...]
    rate_per_s: float
    concurrency: int
    queue_s: float
    target: float
    start_up_s: float
    forecasts: tuple[ModelForecast, ...]
    mean_utilization: float
    peak_utilization: float
    binding: Binding
    endpoints: int = 1

    @property
    def models(self) -> tuple[str, ...]:
        """Names of its models."""
        return tuple(model.name for model in self.placement.models)

    @property
    def instances(self) -> int:
        """Instances of all models of one container."""
        return sum(model.instances for model in self.placement.models)

    @property
    def threads(self) -> int:
        """The most threads of one instance."""
        return max(model.threads for model in self.placement.models)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve everything.

    Attributes:
        machine: the machine type, one a replica.
        services: deployments; empty where nothing can be served.
        usd_per_month: of 730 hours.
        static_usd_per_month: the same with a fixed number of replicas, None where not computed.
        usd_per_million: requests.
        lower_bound_ratio: cost ÷ the work-conserving lower bound.
        feasible: it holds goals, limits and budget.
        binding: what keeps it from being cheaper, or from being feasible.
        reason: one sentence.
        estimate: simulated, or a bound of the cost by the hour.
        excess: how far from feasible, 0 when feasible; 0.5 is half over.
    """

    machine: Machine
    services: tuple[ServicePlan, ...]
    usd_per_month: float
    static_usd_per_month: float | None
    usd_per_million: float
    lower_bound_ratio: float
    feasible: bool
    binding: Binding
    reason: str
    estimate: Estimate = Estimate.SIMULATED
    excess: float = 0.0

    @property
    def least(self) -> int:
        """Replicas of all services at least."""
        return sum(service.least for service in self.services)

    @property
    def most(self) -> int:
        """Replicas of all services at most."""
        return sum(service.most for service in self.services)

    @property
    def utilization(self) -> tuple[float, float] | None:
        """Mean and greatest share of the cores that is busy, None where nothing is served."""
        paid = sum(service.mean_paid for service in self.services)
        if not paid:
            return None
        mean = sum(one.mean_utilization * one.mean_paid for one in self.services) / paid
        return mean, max(one.peak_utilization for one in self.services)

    @property
    def worst(self) -> ModelForecast | None:
        """The model that comes closest to its goal, or misses it by most."""
        forecasts = [one for service in self.services for one in service.forecasts]
        return max(forecasts, key=lambda one: one.latency_s.value / one.limit_s, default=None)


@dataclass(frozen=True, slots=True)
class Nearest:
    """A feasible plan near requirements that cannot be met.

    Attributes:
        change: what must give way, one sentence.
        usd_per_month: what it would cost.
        machine: the machine type.
    """

    change: str
    usd_per_month: float
    machine: str


@dataclass(frozen=True, slots=True)
class TrafficSummary:
    """The traffic that was planned for.

    Attributes:
        model: its name.
        mean_rate: requests per second.
        peak_rate: of the busiest step.
        pattern: how its shape is known, for people.
    """

    model: str
    mean_rate: float
    peak_rate: float
    pattern: str


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """Ranked options, best first.

    Attributes:
        options: feasible ones by cost, then the others by how far they are from feasible.
        traffic: of each model.
        hourly_rates: requests per second of all models by hour of the week.
        lower_bound_usd_per_month: what no deployment that meets the goals can undercut.
        nearest: feasible changes, when no option is feasible.
        assumptions: what was taken for granted, by name.
        findings: remarks on inputs and result.
    """

    options: tuple[Option, ...]
    traffic: tuple[TrafficSummary, ...]
    hourly_rates: tuple[float, ...]
    lower_bound_usd_per_month: float
    nearest: tuple[Nearest, ...] = ()
    assumptions: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def best(self) -> Option | None:
        """The cheapest feasible option."""
        return next((option for option in self.options if option.feasible), None)


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan with the option that was chosen from it.

    Attributes:
        tool: name and version of the writer.
        plan: all options that can be paid for; those that were only bounded come without their
            services.
        chosen: index of the option to deploy.
        time_zone: IANA name of the clock of every schedule.
        business: what was planned for.
        models: sha256 of each model's main file, by name: the plan holds for these bytes.
    """

    tool: str
    plan: CapacityPlan
    chosen: int
    time_zone: str = "UTC"
    business: Business = field(default_factory=Business)
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def option(self) -> Option:
        """The option to deploy."""
        return self.plan.options[self.chosen]


def plan_path(repository: PurePath) -> str:
    """Where the plan of a repository lies: beside it, ``model_repository.plan.json``."""
    return str(repository.with_name(repository.name + _SUFFIX))


def plan_text(file: PlanFile) -> str:
    """The JSON text of a plan file."""
    kept = [option for option in file.plan.options if math.isfinite(option.usd_per_month)]
    chosen = kept.index(file.option)
    options = tuple(_short(option) for option in kept)
    slim = replace(file, plan=replace(file.plan, options=options), chosen=chosen)
    document = {"schema_version": SCHEMA_VERSION, **encode(slim)}
    return _dumps(document, "") + "\n"


def parse_plan(text: str, where: str) -> PlanFile:
    """Read a plan file's text.

    Raises:
        InvalidInputError: TG354 for anything that is not a plan of this schema version.
    """
    try:
        file = decode_text(PlanFile, text, "plan", SCHEMA_VERSION)
    except ValueError as problem:
        raise InvalidInputError("TG354", str(problem), where=where) from problem
    if not 0 <= file.chosen < len(file.plan.options):
        what = f"option {file.chosen} is chosen, there are {len(file.plan.options)}"
        raise InvalidInputError("TG354", what, where=where)
    return file


def _short(option: Option) -> Option:
    return replace(option, services=()) if option.estimate is Estimate.BOUND else option


def _dumps(value: Any, indent: str) -> str:  # noqa: ANN401  (a JSON value)
    """JSON in which lists of plain values stand on one line."""
    if isinstance(value, dict) and value:
        inner = indent + " "
        lines = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_dumps(item, inner)}"
            for key, item in sorted(value.items())
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        inner = indent + " "
        return "[\n" + ",\n".join(inner + _dumps(item, inner) for item in value) + f"\n{indent}]"
    if isinstance(value, list):
        return "[" + ", ".join(_dumps(item, indent) for item in value) + "]"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no place in a plan")
        return json.dumps(float(f"{value:.6g}"))
    return json.dumps(value, ensure_ascii=False)
