"""Machine types: what providers offer at what price, which of them is admitted, and what it costs.

The price list is a CSV, the shipped one or the user's own, read and checked as a whole.
"""

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

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
# What Azure ML's managed online endpoints admit, and the machine types that they offer.
AZUREML_REQUESTS_PER_S = 500.0
AZUREML_BYTES_PER_S = 5e6
AZUREML_INSTANCES = 50
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


def parse_catalogue(text: str, where: str) -> Catalogue:
    """Reads a complete price list.

    Raises:
        InvalidInputError: TG330, with every faulty line.
    """
    rows, faults = _rows(text, where, _REQUIRED)
    machines: dict[tuple[str, str, str], Machine] = {}
    for number, row in rows:
        machine = _machine(row, number, faults)
        if machine is not None and machine.key in machines:
            faults.append(f"line {number}: {machine.name} in {machine.region} occurs twice")
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
    rows, faults = _rows(text, where, _PRICE_ONLY)
    machines = {machine.key: machine for machine in catalogue.machines}
    for number, row in rows:
        matching = [
            key
            for key, machine in machines.items()
            if machine.name == row["name"]
            and row.get("region", "") in {"", machine.region}
            and row.get("provider", "") in {"", machine.provider}
        ]
        if matching:
            _reprice(machines, matching, row, number, faults)
        elif all(row.get(column) for column in _REQUIRED):
            machine = _machine(row, number, faults)
            if machine is not None:
                machines[machine.key] = machine
        else:
            missing = [column for column in _REQUIRED if not row.get(column)]
            faults.append(
                f"line {number}: {row['name'] or 'a machine without a name'} is not in the shipped "
                f"list, and {', '.join(missing)} are missing to add it"
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


def _rows(
    text: str, where: str, required: tuple[str, ...]
) -> tuple[list[tuple[int, Mapping[str, str]]], list[str]]:
    lines = list(csv.reader(io.StringIO(text)))
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    absent = [column for column in required if column not in header]
    if absent:
        raise InvalidInputError("TG330", f"the first line lacks {', '.join(absent)}", where=where)
    faults: list[str] = []
    rows: list[tuple[int, Mapping[str, str]]] = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            faults.append(f"line {number}: {len(cells)} cells, the first line has {len(header)}")
            continue
        rows.append((number, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    return rows, faults


def _machine(row: Mapping[str, str], number: int, faults: list[str]) -> Machine | None:
    before = len(faults)
    faults += [f"line {number}: {name} is missing" for name in _REQUIRED if not row.get(name)]
    vcpus = _number(row, "vcpus", number, faults)
    cores = _number(row, "physical_cores", number, faults, default=vcpus / 2.0)
    memory = _number(row, "memory_gib", number, faults)
    price = _number(row, "usd_per_hour", number, faults)
    gpus = _number(row, "gpu_count", number, faults, default=0.0, least=0.0)
    network = _number(row, "network_gbps", number, faults, default=0.0, least=0.0)
    _check_date(row, number, faults)
    if len(faults) > before:
        return None
    return Machine(
        provider=row["provider"].lower(),
        name=row["name"],
        region=row["region"],
        vcpus=int(vcpus),
        cores=max(1, int(cores)),
        memory_bytes=int(memory * _GIB),
        cpu=row.get("cpu", ""),
        isa=row.get("isa", ""),
        gpu=row.get("gpu", ""),
        gpus=int(gpus),
        usd_per_hour=price,
        price_source=row.get("price_source", "") or "the user's price list",
        price_date=row.get("price_date", ""),
        network_gbps=network or None,
    )


def _reprice(
    machines: dict[tuple[str, str, str], Machine],
    matching: Iterable[tuple[str, str, str]],
    row: Mapping[str, str],
    number: int,
    faults: list[str],
) -> None:
    if not row["usd_per_hour"]:
        faults.append(f"line {number}: usd_per_hour is missing")
        return
    price = _number(row, "usd_per_hour", number, faults)
    _check_date(row, number, faults)
    for key in matching:
        machines[key] = replace(
            machines[key],
            usd_per_hour=price,
            price_source=row.get("price_source") or "the user's price list",
            price_date=row.get("price_date", ""),
        )


def _number(
    row: Mapping[str, str],
    column: str,
    number: int,
    faults: list[str],
    *,
    default: float | None = None,
    least: float | None = None,
) -> float:
    text = row.get(column, "")
    if not text:
        if default is None and column not in _REQUIRED:
            faults.append(f"line {number}: {column} is missing")
        return default if default is not None else 0.0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (value < least if least is not None else value <= 0.0):
        faults.append(f"line {number}: {column} must be a number above 0, got {text!r}")
        return 1.0
    return value


def _check_date(row: Mapping[str, str], number: int, faults: list[str]) -> None:
    text = row.get("price_date", "")
    if text:
        try:
            date.fromisoformat(text)
        except ValueError:
            faults.append(f"line {number}: price_date {text!r} is not a day such as 2026-06-18")


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
    """Whether azureml_managed online endpoints offer a machine type of this name."""
    return _FAMILIES.fullmatch(name) is not None


def azureml_managed(machine: Machine) -> bool:
    """Whether azureml_managed online endpoints offer a machine type."""
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
