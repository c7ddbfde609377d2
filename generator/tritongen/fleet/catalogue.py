"""Machine types: what providers offer at what price, which of them is admitted, and what it costs.

The price list is a CSV, the shipped one or the user's own, read and checked as a whole.
"""

import csv
import difflib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.business import Cloud, Platform

# Sustained network a vCPU where the price list has no column for it: what the smaller types of
# the compute families are given as baseline.
_NETWORK_GBPS_A_VCPU = 0.35
_GIB = 2**30
_MAX_FAULTS = 12
_REQUIRED = ("provider", "name", "vcpus", "memory_gib", "usd_per_hour", "region")
# With these alone a line changes the price of a machine that is known already.
_PRICE_ONLY = ("name", "usd_per_hour")
# What Azure ML's managed online endpoints admit, and the machine types that they offer: Azure's
# "Manage and increase quotas and limits for resources"; endpoints are those of one region.
AZUREML_REQUESTS_PER_S = 500.0
AZUREML_BYTES_PER_S = 5e6
AZUREML_INSTANCES = 50
AZUREML_ENDPOINTS = 100
AZUREML_TIMEOUT_S = 180.0
# Three instances are what Azure calls highly available.
AZUREML_HIGH_AVAILABILITY = 3
AZUREML_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]")
_FAMILIES = re.compile(
    r"Standard_(?:F\d+s_v2|FX\d+mds|D\d+as_v4|E\d+s_v3|NC\d+as_T4_v3|NC\d+ads_A100_v4"
    r"|NC\d+adi?s_H100_v5|NV\d+ads_A10_v5)"
)
_RETIRED = re.compile(r"Standard_NC\d+s_v3")
HOURS_A_MONTH = 730.0


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
        gpu_memory_bytes: of all accelerators together, 0 where the list does not say.
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
    gpu_memory_bytes: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """Provider, name and region."""
        return self.provider, self.name, self.region

    @property
    def bytes_per_s(self) -> float:
        """Network in one direction, bytes a second; estimated where the list does not say."""
        gbps = self.network_gbps
        return (gbps if gbps is not None else _NETWORK_GBPS_A_VCPU * self.vcpus) * 1e9 / 8.0


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Machine types to choose from, in the order of the list."""

    machines: tuple[Machine, ...]

    @property
    def providers(self) -> tuple[str, ...]:
        """Providers, sorted."""
        return tuple(sorted({machine.provider for machine in self.machines}))

    def regions(self, provider: str) -> tuple[str, ...]:
        """Regions of a provider (of all when empty), sorted."""
        return tuple(sorted({m.region for m in self.machines if provider in {"", m.provider}}))


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a price list, with the faults of all."""

    number: int
    cells: Mapping[str, str]
    faults: list[str]

    def fault(self, what: str) -> None:
        self.faults.append(f"line {self.number}: {what}")

    def text(self, column: str) -> str:
        return self.cells.get(column, "")

    def value(self, column: str, default: float = 0.0, *, zero: bool = False) -> float:
        """A number above 0, or from 0 on; the default in an empty cell."""
        text = self.text(column)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0.0 or (value == 0.0 and not zero):
            self.fault(f"{column} must be a number above 0, got {text!r}")
            return 1.0
        return value

    def price(self) -> dict[str, Any]:
        """The fields of a machine's price."""
        usd, day = self.value("usd_per_hour"), self.text("price_date")
        try:
            if day:
                date.fromisoformat(day)
        except ValueError:
            self.fault(f"price_date {day!r} is not a day such as 2026-06-18")
        source = self.text("price_source") or "the user's price list"
        return {"usd_per_hour": usd, "price_source": source, "price_date": day}

    def machine(self) -> Machine | None:
        """The machine of a complete line, None where it is faulty."""
        before = len(self.faults)
        for column in _REQUIRED:
            if not self.text(column):
                self.fault(f"{column} is missing")
        vcpus = self.value("vcpus")
        cores = self.value("physical_cores", vcpus / 2.0)
        memory = self.value("memory_gib")
        gpus = self.value("gpu_count", zero=True)
        network = self.value("network_gbps", zero=True)
        gpu_memory = self.value("gpu_memory_gib", zero=True)
        price = self.price()
        if len(self.faults) > before:
            return None
        return Machine(
            provider=self.text("provider").lower(),
            name=self.text("name"),
            region=self.text("region"),
            vcpus=int(vcpus),
            cores=max(1, int(cores)),
            memory_bytes=int(memory * _GIB),
            cpu=self.text("cpu"),
            isa=self.text("isa"),
            gpu=self.text("gpu"),
            gpus=int(gpus),
            network_gbps=network or None,
            gpu_memory_bytes=int(gpu_memory * _GIB),
            **price,
        )


def parse_catalogue(text: str, where: str) -> Catalogue:
    """Reads a complete price list.

    Raises:
        InvalidInputError: TG330, with every faulty line.
    """
    lines, faults = _lines(text, where, _REQUIRED)
    machines: dict[tuple[str, str, str], Machine] = {}
    for line in lines:
        machine = line.machine()
        if machine is not None and machine.key in machines:
            line.fault(f"{machine.name} in {machine.region} occurs twice")
        elif machine is not None:
            machines[machine.key] = machine
    _raise(faults, where)
    return Catalogue(tuple(machines.values()))


def with_prices(catalogue: Catalogue, text: str, where: str) -> Catalogue:
    """The catalogue with a user's list over it.

    A line with name and price alone changes the price of a known machine, in every region or in
    that of its column; a complete line adds a machine. Machines that the list does not name keep
    their prices.

    Raises:
        InvalidInputError: TG330, with every faulty line.
    """
    lines, faults = _lines(text, where, _PRICE_ONLY)
    machines = {machine.key: machine for machine in catalogue.machines}
    for line in lines:
        name = line.text("name")
        matching = [
            machine
            for machine in machines.values()
            if machine.name == name
            and line.text("region") in {"", machine.region}
            and line.text("provider") in {"", machine.provider}
        ]
        missing = [column for column in _REQUIRED if not line.text(column)]
        if matching:
            if "usd_per_hour" in missing:
                line.fault("usd_per_hour is missing")
            price = line.price()
            machines |= {machine.key: replace(machine, **price) for machine in matching}
        elif not missing:
            machine = line.machine()
            if machine is not None:
                machines[machine.key] = machine
        else:
            line.fault(
                f"{name or 'a machine without a name'} is not in the shipped list, and "
                f"{', '.join(missing)} are missing to add it"
            )
    _raise(faults, where)
    return Catalogue(tuple(machines.values()))


def chosen(catalogue: Catalogue, cloud: Cloud) -> tuple[Machine, ...]:
    """The machines that the user admits.

    Raises:
        InvalidInputError: TG331 unknown provider or region, TG332 unknown machine, TG333 nothing
            is left.
    """
    if cloud.provider and cloud.provider not in catalogue.providers:
        raise _unknown("TG331", "provider", cloud.provider, catalogue.providers, "cloud.provider")
    regions = catalogue.regions(cloud.provider)
    if cloud.region and cloud.region not in regions:
        raise _unknown("TG331", "region", cloud.region, regions, "cloud.region")
    names = tuple(machine.name for machine in catalogue.machines)
    for name in cloud.machines:
        if name not in names:
            raise _unknown("TG332", "machine type", name, names, "cloud.machines")
    left = tuple(
        machine
        for machine in catalogue.machines
        if cloud.provider in {"", machine.provider}
        and cloud.region in {"", machine.region}
        and (not cloud.machines or machine.name in cloud.machines)
    )
    if not left:
        raise InvalidInputError(
            "TG333",
            "no machine type has that provider, region and name together",
            where="cloud",
            fix="Leave one of `provider`, `region` and `machines` out.",
        )
    return left


def _lines(text: str, where: str, required: tuple[str, ...]) -> tuple[list[_Line], list[str]]:
    """The lines below the first that have as many cells, and the faults of the others."""
    rows = list(csv.reader(io.StringIO(text)))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    absent = [column for column in required if column not in header]
    if absent:
        raise InvalidInputError("TG330", f"the first line lacks {', '.join(absent)}", where=where)
    faults: list[str] = []
    lines = []
    for number, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row]
        line = _Line(number, dict(zip(header, cells, strict=False)), faults)
        if len(cells) == len(header):
            lines.append(line)
        elif any(cells):
            line.fault(f"{len(cells)} cells, the first line has {len(header)}")
    return [line for line in lines if any(line.cells.values())], faults


def _raise(faults: list[str], where: str) -> None:
    if faults:
        shown = faults[:_MAX_FAULTS]
        more = len(faults) - len(shown)
        raise InvalidInputError(
            "TG330",
            f"{len(faults)} faulty lines",
            where=where,
            details=[*shown, *([f"… and {more} more"] if more else [])],
        )


def _unknown(
    code: str, what: str, name: str, known: tuple[str, ...], where: str
) -> InvalidInputError:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    listed = known if len(known) <= 12 else (*known[:12], "…")
    hint = f"Did you mean {', '.join(near)}?" if near else f"Known: {', '.join(listed)}."
    return InvalidInputError(
        code, f"there is no {what} {name!r} in the catalogue", where=where, fix=hint
    )


def azureml_offers(name: str) -> bool:
    """Whether managed online endpoints offer a machine type of this name."""
    return _FAMILIES.fullmatch(name) is not None


def azureml_managed(machine: Machine) -> bool:
    """Whether managed online endpoints offer a machine type."""
    return machine.provider == "azure" and azureml_offers(machine.name)


def platform_refusal(machine: Machine, platform: Platform) -> str:
    """Why a platform cannot run on a machine type, empty when it can."""
    if machine.provider == "azure" and _RETIRED.fullmatch(machine.name):
        return "the NCv3 series was retired on 30 September 2025"
    if platform is Platform.AZUREML and not azureml_managed(machine):
        return "Azure ML's azureml_managed endpoints do not offer this machine type"
    return ""


def usd_per_month(usd_per_hour: float, mean_replicas: float) -> float:
    """The bill of a month of 730 hours for so many replicas on average."""
    return usd_per_hour * mean_replicas * HOURS_A_MONTH


def usd_per_million(usd_per_month: float, mean_rate_per_s: float) -> float:
    """Cost of a million requests; infinite without requests."""
    requests = mean_rate_per_s * 3600.0 * HOURS_A_MONTH
    return usd_per_month / requests * 1e6 if requests > 0.0 else math.inf


def lower_bound_usd_per_hour(
    mean_rates: Sequence[float], best_rate_per_usd: Sequence[float]
) -> float:
    """What no deployment that meets the goals can undercut, in USD an hour.

    Machines that are always as busy as the goal allows, and vanish when there is nothing to do.

    Args:
        mean_rates: requests per second of each model.
        best_rate_per_usd: of each model, the greatest rate at the goal that one USD an hour
            buys, over all machine types.
    """
    return math.fsum(
        rate / best if best > 0.0 else math.inf
        for rate, best in zip(mean_rates, best_rate_per_usd, strict=True)
        if rate > 0.0
    )
