"""One machine type of a provider."""

from dataclasses import dataclass

# Sustained network a vCPU where the price list has no column for it: what the smaller types of
# the compute families are given as baseline.
_NETWORK_GBPS_A_VCPU = 0.35


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type in one region.

    Attributes:
        provider: ``azure``, ``aws``, ``gcp``, or the user's own.
        name: as the provider writes it.
        region: of the price.
        vcpus: hardware threads.
        cores: physical cores; two hardware threads of one core count once.
        memory_bytes: main memory.
        cpu: the processor, in the provider's words.
        isa: instruction sets, in the price list's words.
        gpu: name of the accelerator, empty for none.
        gpus: how many.
        usd_per_hour: on demand, Linux.
        price_source: where the price is from.
        price_date: the day of the price, ISO 8601.
        network_gbps: sustained, None where the list does not say.
    """

    provider: str
    name: str
    region: str
    vcpus: int
    cores: int
    memory_bytes: int
    cpu: str
    isa: str
    gpu: str
    gpus: int
    usd_per_hour: float
    price_source: str
    price_date: str
    network_gbps: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Provider, name and region."""
        return self.provider, self.name, self.region

    @property
    def bytes_per_s(self) -> float:
        """Network in one direction, bytes a second; estimated where the list does not say."""
        gbps = self.network_gbps
        return (gbps if gbps is not None else _NETWORK_GBPS_A_VCPU * self.vcpus) * 1e9 / 8.0
