"""What one container on a machine type can do: how models share its cores, and the rate of each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.fleet.capacity.measured_curve import held_capacity, measured_curve
from tritongen.fleet.capacity.model_profile import ModelProfile, Placed, Sweep, container_memory
from tritongen.fleet.capacity.operating_curves import (
    QueueParameters,
    after_rests,
    in_seconds,
    steady_curve,
)
from tritongen.fleet.capacity.processors import Speed, relative_speed, same_processor
from tritongen.fleet.catalogue import Machine
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import Intent
from tritongen.model.lock import is_rate_limited
from tritongen.model.serving_plan import ModelPlan, Planned, Reason, Source
from tritongen.planner import plan_serving
from tritongen.queueing import OperatingCurve
from tritongen.queueing.service_times import DEFAULT_CONTENTION

# The share of a machine's memory that containers may have.
MEMORY_SHARE = 0.9
# A network that is fuller than this delays answers.
NETWORK_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class ContainerPlacement:
    """Models of one container.

    Attributes:
        cores: CPU limit of the container.
        models: in the order of their names.
        limited: more models than cores: the rate limiter holds executions to the cores.
    """

    cores: int
    models: tuple[Placed, ...]
    limited: bool = False


class Placer:
    """Answers how a set of models shares so many cores, as `tritongen build` would decide it."""

    def __init__(self, models: Sequence[ModelFacts], intent: Intent, evidence: Evidence) -> None:
        """Remember the inputs of the planner.

        Args:
            models: facts of every model.
            intent: what the user wants; target cores are replaced.
            evidence: what was observed.
        """
        self._facts: Mapping[str, ModelFacts] = {model.name: model for model in models}
        target = replace(intent.target, memory_bytes=None, gpus=0)
        self._intent = replace(intent, target=target, pipelines={})
        self._evidence = evidence
        self._known: dict[tuple[tuple[str, ...], int], ContainerPlacement] = {}

    def place(self, names: Sequence[str], cores: int) -> ContainerPlacement:
        """The split of so many cores among these models."""
        key = (tuple(sorted(names)), cores)
        found = self._known.get(key)
        if found is None:
            budget = Planned(cores, Reason(Source.TARGET, f"{cores} cores of the machine"))
            facts = [self._facts[name] for name in key[0]]
            plan = plan_serving(facts, self._intent, self._evidence, budget)
            limited = is_rate_limited(plan.server.flags)
            found = ContainerPlacement(
                cores, tuple(_placed(model) for model in plan.models), limited
            )
            self._known[key] = found
        return found


def _placed(model: ModelPlan) -> Placed:
    batching = model.batching
    return Placed(
        model.name,
        model.instances.value,
        model.threads.value,
        model.max_batch_size.value,
        batching.queue_delay_us.value / 1e6 if batching is not None else None,
    )


@dataclass(frozen=True, slots=True)
class ModelFit:
    """One model in a container on a machine.

    Attributes:
        profile: of the model.
        placed: its instances, threads and batches.
        curve: latency over its own rate, seconds and requests per second.
        rate_per_s: the greatest rate at the goal; 0 where even a lone request is late.
        alone_s: latency of a request that meets no other.
        measured: whether the curve was brought to what this configuration did at rates.
    """

    profile: ModelProfile
    placed: Placed
    curve: OperatingCurve
    rate_per_s: float
    alone_s: float
    measured: bool = False

    @property
    def saturation(self) -> float:
        """The greatest rate at the goal as a share of the capacity without a goal."""
        return self.rate_per_s / self.curve.capacity_per_s


@dataclass(frozen=True, slots=True)
class Fit:
    """A container on a machine type.

    Attributes:
        machine: the type.
        placement: models, instances, threads.
        models: what each can do.
        memory_bytes: that the container needs.
        speeds: how long executions take there, by model.
    """

    machine: Machine
    placement: ContainerPlacement
    models: tuple[ModelFit, ...]
    memory_bytes: int
    speeds: Mapping[str, Speed]

    @property
    def names(self) -> tuple[str, ...]:
        """Models of the container."""
        return tuple(model.profile.name for model in self.models)

    @property
    def free_bytes(self) -> float:
        """The machine's memory that containers may have."""
        return self.machine.memory_bytes * MEMORY_SHARE

    @property
    def lacks_memory(self) -> bool:
        """Whether the machine has too little memory for the container."""
        return self.memory_bytes > self.free_bytes

    @property
    def refusal(self) -> str:
        """Why no rate at all can be served, empty when one can."""
        if self.lacks_memory:
            return (
                f"{self.memory_bytes / 2**30:.1f} GiB are needed, "
                f"{self.free_bytes / 2**30:.3g} of "
                f"{self.machine.memory_bytes / 2**30:.3g} GiB are free"
            )
        for model in self.models:
            if model.rate_per_s <= 0.0:
                goal = model.profile.goal
                far = model.profile.transport_s
                way = f", {far * 1e3:.3g} ms of it on the way" if far > 0.5 * model.alone_s else ""
                return (
                    f"{model.profile.name} takes {model.alone_s * 1e3:.3g} ms alone{way}; the goal "
                    f"is p{goal.percentile:g} < {goal.limit_s * 1e3:.3g} ms"
                )
        return ""

    def load(self, rates: Sequence[float]) -> float:
        """Replicas that these rates keep as busy as the goals allow; may be a fraction.

        Args:
            rates: requests per second of each model, in the order of `models`.
        """
        combine = math.fsum if self.placement.limited else max
        pairs = zip(rates, self.models, strict=True)
        cpu = combine([rate / model.rate_per_s for rate, model in pairs])
        return max(cpu, self.network_load(rates))

    def rate_in(self, rates: Sequence[float]) -> float:
        """The greatest rate of all models together in a mix; of the slowest one without a mix."""
        load = self.load(rates)
        return math.fsum(rates) / load if load > 0.0 else min(m.rate_per_s for m in self.models)

    def utilization(
        self, rates: Sequence[Sequence[float]], replicas: Sequence[int]
    ) -> tuple[float, float]:
        """Mean and greatest share of the containers' cores that executions keep busy.

        Args:
            rates: requests per second of each model step by step, in the order of `models`.
            replicas: of each step.
        """
        busy = [0.0] * len(replicas)
        for series, model in zip(rates, self.models, strict=True):
            cores = model.placed.instances * model.placed.threads
            if self.placement.limited:
                cores = self.placement.cores
            weight = cores / (model.curve.capacity_per_s * self.placement.cores)
            for index, rate in enumerate(series):
                busy[index] += rate * weight
        peak = max(one / count for one, count in zip(busy, replicas, strict=True))
        return math.fsum(busy) / math.fsum(replicas), peak

    def network_load(self, rates: Sequence[float]) -> float:
        """The same by the network alone."""
        sent = math.fsum(
            rate * max(model.profile.request_bytes, model.profile.response_bytes)
            for rate, model in zip(rates, self.models, strict=True)
        )
        return sent / (self.machine.bytes_per_s * NETWORK_SHARE)


class Fitter:
    """Fits containers to machines; equal questions are answered from memory."""

    def __init__(
        self, profiles: Mapping[str, ModelProfile], placer: Placer, burstiness: float
    ) -> None:
        """Remember what is served.

        Args:
            profiles: by model.
            placer: splits cores among models.
            burstiness: variation of the gaps between requests.
        """
        self._profiles = profiles
        self._placer = placer
        self._burstiness = burstiness
        self._curves: dict[tuple[Placed, bool, float, int, bool], ModelFit] = {}

    def fit(self, names: Sequence[str], machine: Machine) -> Fit:
        """A container with these models on a machine.

        Args:
            names: of models.
            machine: the type.
        """
        placement = self._placer.place(names, machine.cores)
        speeds = {name: self.speed(name, machine) for name in names}
        models = tuple(
            self._model(
                placed,
                placement,
                speeds[placed.name].factor,
                self._seen(placed, machine, placement.cores) if len(names) == 1 else None,
            )
            for placed in placement.models
        )
        if placement.limited:
            models = self._shared(models, placement)
        memory = container_memory(
            (model.placed.instances, model.profile.instance_bytes) for model in models
        )
        return Fit(machine, placement, models, memory, speeds)

    def speed(self, name: str, machine: Machine) -> Speed:
        """How long a model's executions take on a machine against where they were measured."""
        profile = self._profiles[name]
        return relative_speed(profile.measured_on, machine.cpu, int8=profile.int8)

    def ceiling(self, name: str, machine: Machine) -> float:
        """A rate that one machine cannot exceed with this model alone, goal or not."""
        placed = self._placer.place((name,), machine.cores).models[0]
        profile, factor = self._profiles[name], self.speed(name, machine).factor
        queue, unit = self._queue(profile, placed, machine.cores, factor)
        seen = self._seen(placed, machine, machine.cores)
        known = 0.0 if seen is None else held_capacity(seen)
        return max(queue.capacity / unit, known)

    def _seen(self, placed: Placed, machine: Machine, cores: int) -> Sweep | None:
        """What was measured of this very container; None where it was not."""
        profile = self._profiles[placed.name]
        sweep = profile.sweep
        if sweep is None or not same_processor(profile.measured_on, machine.cpu):
            return None
        return sweep if sweep.shows(placed, float(cores)) else None

    def _model(
        self, placed: Placed, placement: ContainerPlacement, factor: float, seen: Sweep | None
    ) -> ModelFit:
        cores, measured = placement.cores, seen is not None
        key = (placed, placement.limited, round(factor, 4), cores, measured)
        found = self._curves.get(key)
        if found is not None:
            return found
        profile = self._profiles[placed.name]
        queue, unit = self._queue(profile, placed, cores, factor)
        if placement.limited:
            queue = QueueParameters(cores, 1, 1.0, 0.0, queue.cv, queue.arrival_cv)
        alone = unit + profile.transport_s
        curve = self._curve(profile, queue, unit, factor)
        if seen is not None:
            # Requests of the sweep came at random, whatever those of the plan do.
            base_queue, base_unit = self._queue(profile, placed, cores, 1.0)
            base = self._curve(profile, replace(base_queue, arrival_cv=1.0), base_unit, 1.0)
            curve = measured_curve(curve, base, seen, profile.transport_s)
        rate = _greatest_rate(curve, profile, alone, profile.goal.limit_s)
        found = self._curves[key] = ModelFit(profile, placed, curve, rate, alone, measured)
        return found

    def _curve(
        self, profile: ModelProfile, queue: QueueParameters, unit: float, factor: float
    ) -> OperatingCurve:
        curve = in_seconds(steady_curve(queue), unit, profile.transport_s)
        return after_rests(curve, profile.service, profile.transport_s, profile.wake_s * factor)

    def _queue(
        self, profile: ModelProfile, placed: Placed, cores: int, factor: float
    ) -> tuple[QueueParameters, float]:
        """Proportions of a model's queue, and seconds of one execution of one request.

        A request's work in the front end is done by the same cores: it is counted as if it
        lengthened the execution. Others on the machine slow an execution by contention.
        """
        service, threads, rows = profile.service, placed.threads, profile.rows
        busy = 1.0 - threads / cores if cores > threads else 0.0
        contention = service.contention if service.contention is not None else DEFAULT_CONTENTION
        slow = factor * (1.0 + contention * busy)
        front_end = profile.front_end_s * factor
        one = service.alone(rows, threads) * slow + front_end / max(1, threads)
        most = max(1, placed.merged // rows)
        slope = 1.0
        if most > 1:
            full = service.alone(most * rows, threads) * slow
            full += most * front_end / max(1, threads)
            slope = min(1.0, max(0.0, (full / one - 1.0) / (most - 1)))
        delay = (placed.delay_s or 0.0) / one
        return (
            QueueParameters(placed.instances, most, slope, delay, service.cv, self._burstiness),
            one,
        )

    def _shared(
        self, models: tuple[ModelFit, ...], placement: ContainerPlacement
    ) -> tuple[ModelFit, ...]:
        """Under the rate limiter models wait for each other's executions.

        Each may use all cores while the others are idle; the longest execution of another may
        stand in its way, and its goal must leave room for it.
        """
        longest = max(model.alone_s - model.profile.transport_s for model in models)
        result = []
        for model in models:
            profile = model.profile
            own = model.alone_s - profile.transport_s
            room = profile.goal.limit_s - (longest - own if len(models) > placement.cores else 0.0)
            rate = _greatest_rate(model.curve, profile, model.alone_s, room)
            result.append(replace(model, rate_per_s=rate))
        return tuple(result)


def _greatest_rate(
    curve: OperatingCurve, profile: ModelProfile, alone_s: float, limit_s: float
) -> float:
    """At which the goal's percentile stays below a limit; 0 where a lone request exceeds it."""
    return curve.greatest_rate(profile.goal.percentile, limit_s) if alone_s < limit_s else 0.0
