"""How many cores a container really has, from what the machine says of itself."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritongen.model.serving_plan import Planned


@dataclass(frozen=True, slots=True)
class CpuReading:
    """What one machine or container says of its CPUs.

    Attributes:
        affinity: logical CPUs that the process may run on.
        physical: physical cores among them, None when the machine does not say.
        quota: cores that the cgroup's quota allows, None without a limit.
        cpuset: logical CPUs in the cgroup's cpuset, None when it sets none.
        model: the CPU's name.
    """

    affinity: int
    physical: int | None = None
    quota: float | None = None
    cpuset: int | None = None
    model: str = ""


def budget_of(reading: CpuReading) -> "Planned[int]":
    """The least of affinity, cpuset, physical cores and quota (rounded down, at least 1).

    Hyper-threads do not count: two of them share one core's arithmetic units. A quota of 1.5 gives
    one core, since a second busy thread would be throttled for part of every period.
    """
    # A lock holds readings, and `up` waits for what they load.
    from tritongen.model.serving_plan import Planned, Reason, Source

    quota = None if reading.quota is None else max(1, math.floor(reading.quota))
    bounds = {
        "affinity": reading.affinity,
        "cpuset": reading.cpuset,
        "physical cores": reading.physical,
        "cgroup quota": quota,
    }
    numbers = tuple((label, value) for label, value in bounds.items() if value is not None)
    name, cores = min(numbers, key=lambda bound: bound[1])
    return Planned(
        max(1, cores),
        Reason(Source.TARGET, f"{max(1, cores)} cores: the {name} of the machine read", numbers),
    )


def budget_of_limit(cpus: float) -> "Planned[int]":
    """The whole cores of a stated CPU limit, at least 1."""
    from tritongen.model.serving_plan import Planned, Reason, Source

    cores = max(1, math.floor(cpus))
    rounded = "" if cores == cpus else f", rounded down from {cpus:g}"
    sentence = f"{cores} cores: target.cpus in tritongen.yaml{rounded}"
    return Planned(cores, Reason(Source.INTENT, sentence, (("cpus", cpus),)))
