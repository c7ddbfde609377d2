"""What was expected of each model: from tritongen.yaml, the lock and the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from tritongen.fleet.capacity.capacity_plan import PlanFile
from tritongen.fleet.observe.advice import ModelExpectation
from tritongen.fleet.observe.model_counters import Observed
from tritongen.fleet.plan_fleet import known_intent
from tritongen.fleet.stored_plan import read_plan
from tritongen.fleet.traffic.rate_profile import forecast_traffic, pattern_of, zone_of
from tritongen.fleet.traffic.traffic_history import week_phase
from tritongen.model.business import PatternKind
from tritongen.model.evidence import Cost
from tritongen.model.intent import Intent
from tritongen.model.lock import Lock, LockedModel
from tritongen.repository.project import read_lock
from tritongen.triton.statistics import served_config


@dataclass(frozen=True, slots=True)
class Expectations:
    """Everything that observations can be held against."""

    intent: Intent
    lock: Lock | None
    plan: PlanFile | None
    zone: ZoneInfo

    def known(self, model: str) -> bool:
        """Whether the project has this model."""
        if self.lock is not None and self.lock.models:
            return model in self.lock.models
        return model in self.intent.models

    def of(self, seen: Observed, config: Mapping[str, object] | None) -> ModelExpectation:
        """What was expected of a model while it was observed.

        Args:
            seen: the model over time.
            config: in force on the server, None when it is not known.
        """
        name = seen.model
        own = self.intent.of(name)
        locked = self._locked(name)
        running = served_config(name, config) if config is not None else None
        planned = _planned(self.plan, name)
        instances = running.instances if running is not None else None
        if instances is None and locked is not None:
            instances = locked.instances
        return replace(
            planned,
            average=own.rate,
            peak=own.peak_rate,
            window_rate=self._window(seen),
            latency_ms=own.latency_ms,
            queue_delay_us=_delay(config) if config is not None else planned.queue_delay_us,
            instances=instances,
            execution_ms=self._execution_ms(name, seen.batch),
            request_batch=own.request_batch,
        )

    def costs(self, models: Sequence[str]) -> Mapping[str, float]:
        """Milliseconds of one request alone on one thread, of the models where that is known."""
        found = {}
        for name in models:
            locked = self._locked(name)
            trial = locked.evidence.trial if locked is not None else None
            alone = trial.cost_ms(1, 1) if trial is not None else None
            if alone is not None:
                found[name] = alone * self.intent.of(name).request_batch
        return found

    def _locked(self, name: str) -> LockedModel | None:
        return self.lock.models.get(name) if self.lock is not None else None

    def _window(self, seen: Observed) -> float | None:
        """The mean rate that the pattern gives for the steps that were observed."""
        if not seen.steps:
            return None
        own = self.intent.of(seen.model)
        pattern = pattern_of(self.intent, seen.model)
        if own.planning_rate is None or pattern.kind is PatternKind.HISTORY:
            return own.rate
        profile = forecast_traffic(seen.model, self.intent, self.zone, None).profile
        rates = [
            profile.at(week_phase(step.begin_s, self.zone)) * step.seconds for step in seen.steps
        ]
        return sum(rates) / seen.seconds

    def _execution_ms(self, name: str, batch: float | None) -> float | None:
        locked = self._locked(name)
        if locked is None or batch is None:
            return None
        # A trial runs outside a server: only what was measured on one can be compared.
        served = locked.evidence.served
        costs: tuple[Cost, ...] = served.costs if served is not None else ()
        own = [cost for cost in costs if cost.threads == locked.threads and cost.inter_op == 1]
        nearest = min(own or costs, key=lambda cost: abs(cost.batch - batch), default=None)
        return nearest.ms if nearest is not None else None


def expectations(models: Path | None, repository: Path, plan: Path | None) -> Expectations:
    """What the project says, as far as it is there.

    Args:
        models: the models folder, None to compare with nothing.
        repository: whose lock and plan count.
        plan: where the plan lies instead of beside the repository.

    Raises:
        InvalidInputError: tritongen.yaml, the lock or the plan cannot be read.
    """
    intent = known_intent(models)
    zone = zone_of(intent.business.pattern.time_zone)
    return Expectations(intent, read_lock(repository), read_plan(repository, plan), zone)


def _planned(plan: PlanFile | None, model: str) -> ModelExpectation:
    """What the plan says of a model; what one replica holds is known where the model is alone."""
    for service in plan.option.services if plan is not None else ():
        placed = {one.name: one for one in service.placement.models}
        if model in placed:
            delay = placed[model].delay_s
            return ModelExpectation(
                service=service.name,
                replicas=service.most,
                replica_rate=service.rate_per_s if len(service.models) == 1 else None,
                queue_delay_us=delay * 1e6 if delay is not None else None,
            )
    return ModelExpectation()


def _delay(config: Mapping[str, object]) -> float | None:
    """Microseconds of the queue delay in a configuration in JSON."""
    batching = config.get("dynamic_batching")
    if not isinstance(batching, Mapping):
        return None
    try:
        return float(str(batching.get("max_queue_delay_microseconds") or 0))
    except ValueError:
        return None
