"""Probes at work at the same time beside what is deployed, each with a part of the planned load."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tritongen.fleet.export.deployment import Service

# Of each service: more are worth it where one cannot make the load. Chosen.
PROBES = 2
# As the command line has them; a smaller share would be none.
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class ProbeLoad:
    """What each probe of a service does.

    Attributes:
        models: values of ``-m``.
        flag: ``--rate``, or ``--concurrency`` where no rate is known.
        value: its value.
        left_out: language models, whose tokens AIPerf measures.
    """

    models: tuple[str, ...]
    flag: str
    value: str
    left_out: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Its models on a command line."""
        return tuple(word for model in self.models for word in ("-m", model))


def probe_loads(services: Iterable[Service]) -> dict[str, ProbeLoad]:
    """The load of each service that has a model for `probe`, by the service's name."""
    loads = ((service, _probe_load(service)) for service in services)
    return {service.name: load for service, load in loads if load is not None}


def _probe_load(service: Service) -> ProbeLoad | None:
    """An equal part of the peaks of all models at once, else of the requests of one replica."""
    measured = [one for one in service.models if not one.answers_tokens]
    left_out = tuple(one.name for one in service.models if one.answers_tokens)
    rates = {one.name: one.peak_rate for one in measured if one.peak_rate}
    if rates:
        shares = tuple(f"{name}={_number(rate)}" for name, rate in rates.items())
        return ProbeLoad(shares, "--rate", _number(sum(rates.values()) / PROBES), left_out)
    if not measured:
        return None
    names = tuple(one.name for one in measured)
    clients = math.ceil(service.concurrency / PROBES)
    return ProbeLoad(names, "--concurrency", str(clients), left_out)


def _number(value: float) -> str:
    """Without an exponent, and never 0."""
    text = f"{max(value, 10**-_DIGITS):.{_DIGITS}f}"
    return text.rstrip("0").rstrip(".")
