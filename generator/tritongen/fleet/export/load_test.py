"""Probes at work at the same time beside what is deployed, each with a part of the planned load."""

import math
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
    """

    models: tuple[str, ...]
    flag: str
    value: str

    @property
    def words(self) -> tuple[str, ...]:
        """Its models on a command line."""
        return tuple(word for model in self.models for word in ("-m", model))


def probe_load(service: Service) -> ProbeLoad:
    """An equal part of the peaks of all models at once, else of the requests of one replica."""
    rates = {one.name: one.peak_rate for one in service.models if one.peak_rate}
    if rates:
        shares = tuple(f"{name}={_number(rate)}" for name, rate in rates.items())
        return ProbeLoad(shares, "--rate", _number(sum(rates.values()) / PROBES))
    names = tuple(one.name for one in service.models)
    return ProbeLoad(names, "--concurrency", str(math.ceil(service.concurrency / PROBES)))


def _number(value: float) -> str:
    """Without an exponent, and never 0."""
    text = f"{max(value, 10**-_DIGITS):.{_DIGITS}f}"
    return text.rstrip("0").rstrip(".")
