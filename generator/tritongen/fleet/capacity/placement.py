"""How models share a container: the planner's own split for a number of cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import Intent
from tritongen.model.lock import is_rate_limited
from tritongen.model.serving_plan import ModelPlan, Planned, Reason, Source
from tritongen.planner import plan_serving


@dataclass(frozen=True, slots=True)
class Placed:
    """One model in a container.

    Attributes:
        name: of the model.
        instances: instance count.
        threads: of each instance.
        max_batch: greatest batch, 0 for no batching.
        delay_s: queue delay, None where requests are not merged.
    """

    name: str
    instances: int
    threads: int
    max_batch: int = 0
    delay_s: float | None = None

    @property
    def merged(self) -> int:
        """Rows that an execution holds at most when requests are merged, 1 when they are not."""
        return max(1, self.max_batch) if self.delay_s is not None else 1


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

    def of(self, name: str) -> Placed:
        """One model.

        Raises:
            KeyError: it is not in this container.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)


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
