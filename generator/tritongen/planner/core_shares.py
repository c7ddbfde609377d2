"""How the models in one container share its cores."""

from collections.abc import Mapping
from dataclasses import dataclass

from tritongen.model.serving_plan import Reason, Source


@dataclass(frozen=True, slots=True)
class Demand:
    """What one model asks of the cores.

    Attributes:
        name: of the model.
        rate: requests per second, None when not stated.
        service_ms: one-thread milliseconds of an item, None when not measured.
        fixed: cores that tritongen.yaml fixes by instances × threads, None when it does not.
        least: cores of one instance, which is the least that the model can have.
    """

    name: str
    rate: float | None
    service_ms: float | None
    fixed: int | None = None
    least: int = 1

    @property
    def needed(self) -> int:
        """Cores without which the model cannot be planned."""
        return self.fixed or self.least

    def load(self, default_rate: float, default_service_ms: float) -> float:
        """Busy cores that the model needs on average, in arbitrary but common units."""
        rate = self.rate if self.rate is not None else default_rate
        service = self.service_ms if self.service_ms is not None else default_service_ms
        return max(rate * service / 1000, 1e-9)


@dataclass(frozen=True, slots=True)
class Share:
    """Cores of one model and why."""

    cores: int
    reason: Reason


def share_cores(demands: tuple[Demand, ...], cores: int) -> Mapping[str, Share] | None:
    """Give every model what it needs, each further core to the model with the most load a core.

    Returns:
        Shares by name, whose sum is at most `cores`; None when there are more models (or more
        fixed cores) than cores.
    """
    given = {demand.name: demand.needed for demand in demands}
    if sum(given.values()) > cores:
        return None
    loads = _loads(demands)
    free = [demand.name for demand in demands if demand.fixed is None]
    for _ in range(cores - sum(given.values())):
        if not free:
            break
        neediest = max(free, key=lambda name: (loads[name] / given[name], name))
        given[neediest] += 1
    total = sum(loads.values())
    return {
        demand.name: Share(
            given[demand.name],
            _reason(demand, given[demand.name], cores, loads[demand.name] / total, len(demands)),
        )
        for demand in demands
    }


def _loads(demands: tuple[Demand, ...]) -> dict[str, float]:
    rates = [demand.rate for demand in demands if demand.rate is not None]
    services = [demand.service_ms for demand in demands if demand.service_ms is not None]
    # What is not stated is taken as the mean of what is, so that silence neither wins nor loses.
    rate = sum(rates) / len(rates) if rates else 1.0
    service = sum(services) / len(services) if services else 1.0
    return {demand.name: demand.load(rate, service) for demand in demands}


def _reason(demand: Demand, given: int, cores: int, part: float, models: int) -> Reason:
    if demand.fixed is not None:
        return Reason(Source.INTENT, f"{given} of {cores} cores: fixed in tritongen.yaml")
    if models == 1:
        return Reason(Source.TARGET, f"all {cores} cores: the only model")
    rate = f"{demand.rate:g}/s" if demand.rate is not None else "a rate like the others'"
    service = (
        f"{demand.service_ms:.3g} ms" if demand.service_ms is not None else "a mean service time"
    )
    return Reason(
        Source.INTENT if demand.rate is not None else Source.TRIAL,
        f"{given} of {cores} cores: {part:.0%} of the load of {models} models ({rate} × {service})",
        (("share_of_load", round(part, 3)),),
    )
