"""What a plan of machines rests on: machines with prices, traffic over time, work of each model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import InvalidInputError, describe_error
from tritongen.fleet.capacity.demand import TrafficDemand
from tritongen.fleet.capacity.model_profile import ModelProfile, profile_model
from tritongen.fleet.capacity.requirements import handed_down
from tritongen.fleet.capacity.sizing import CapacityInput
from tritongen.fleet.catalogue.machine_type import Machine
from tritongen.fleet.catalogue.price_list import chosen, parse_catalogue, with_prices
from tritongen.fleet.traffic.prometheus_answer import parse_prometheus
from tritongen.fleet.traffic.rate_profile import align
from tritongen.fleet.traffic.recorded_csv import parse_table
from tritongen.fleet.traffic.traffic_forecast import TrafficRequirement, forecast_traffic, zone_of
from tritongen.fleet.traffic.traffic_history import History
from tritongen.model.business import PatternKind
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent
from tritongen.repository.project import Project
from tritongen.resources import template_text
from tritongen.system.machine import read_cpus
from tritongen.system.paths import read_head

SHIPPED = "data/instance_types.csv"
# Of a price list or a recording; chosen: a year by the minute takes less than a tenth.
_MAX_BYTES = 200 * 2**20


@dataclass(frozen=True, slots=True)
class PriceChoice:
    """Which machines are admitted, over what tritongen.yaml says.

    Attributes:
        catalogue: a complete price list instead of the shipped one.
        price_list: prices that replace or add to it.
        provider: of machines; empty for what tritongen.yaml says.
        region: of machines; empty for what tritongen.yaml says.
        machines: types to consider; empty for what tritongen.yaml says.
    """

    catalogue: Path | None = None
    price_list: Path | None = None
    provider: str = ""
    region: str = ""
    machines: tuple[str, ...] = ()


def machines_of(project: Project, choice: PriceChoice) -> tuple[Intent, tuple[Machine, ...]]:
    """The intent with the choice applied, and the machines that it admits.

    Raises:
        InvalidInputError: TG330 a faulty list, TG331 to TG333 a choice that nothing fits.
    """
    cloud = project.intent.business.cloud
    cloud = replace(
        cloud,
        provider=choice.provider.lower() or cloud.provider,
        region=choice.region or ("" if choice.provider else cloud.region),
        machines=choice.machines or cloud.machines,
    )
    if choice.catalogue is not None:
        catalogue = parse_catalogue(_text(choice.catalogue, "TG330"), str(choice.catalogue))
    else:
        catalogue = parse_catalogue(template_text(SHIPPED), SHIPPED)
    prices = choice.price_list or (project.root / cloud.prices if cloud.prices else None)
    if prices is not None:
        catalogue = with_prices(catalogue, _text(prices, "TG330"), str(prices))
    business = replace(project.intent.business, cloud=cloud)
    return replace(project.intent, business=business), chosen(catalogue, cloud)


def plan_time_zone(intent: Intent) -> str:
    """IANA name of the clock of every schedule."""
    return intent.business.pattern.time_zone or "UTC"


def capacity_inputs(
    project: Project, intent: Intent, evidence: Evidence, machines: tuple[Machine, ...]
) -> tuple[CapacityInput, tuple[Finding, ...]]:
    """Profiles, traffic and machines of every model that is served, and what is to be said of them.

    Args:
        project: models and lock.
        intent: of the project, with the command line's choices.
        evidence: of every servable model.
        machines: to choose from.

    Raises:
        InvalidInputError: TG341 no service times at all, TG32x traffic that cannot be used.
    """
    facts = tuple(
        model
        for model in project.models
        if model.servable and not intent.of(model.name).skip and model.name in evidence.models
    )
    required = handed_down(intent, _costs(evidence))
    findings: list[Finding] = []
    profiles = _profiles(project, facts, required, evidence, findings)
    served = tuple(model for model in facts if model.name in profiles)
    zone = plan_time_zone(intent)
    demand, patterns = _demand(project.root, served, required, zone, findings)
    capacity = CapacityInput(served, required, evidence, profiles, demand, patterns, machines)
    return capacity, tuple(findings)


def _costs(evidence: Evidence) -> Mapping[str, float]:
    """Milliseconds of one row, by model."""
    known = {
        name: one.trial.cost_ms(1, 1)
        for name, one in evidence.models.items()
        if one.trial is not None and one.trial.ok
    }
    return {name: ms for name, ms in known.items() if ms is not None}


def _profiles(
    project: Project,
    facts: tuple[ModelFacts, ...],
    intent: Intent,
    evidence: Evidence,
    findings: list[Finding],
) -> dict[str, ModelProfile]:
    cpu = _measuring_cpu(project, evidence)
    profiles = {}
    for model in facts:
        found = evidence.models[model.name]
        profile = profile_model(model, intent.of(model.name), found, intent.business, cpu)
        if profile is None:
            what = "left out of the plan: it was never run"
            findings.append(finding("TG341", Severity.WARNING, what, model=model.name))
        else:
            profiles[model.name] = profile
    if not profiles:
        raise InvalidInputError(
            "TG341", "no model has service times: none was run", where=str(project.root)
        )
    return profiles


def _measuring_cpu(project: Project, evidence: Evidence) -> str:
    """The processor of the trials: the lock's where it holds them, else this machine's."""
    if project.lock is None:
        return read_cpus().model
    recorded = project.lock.evidence.models
    if any(
        one.trial is not None and (name not in recorded or recorded[name].trial != one.trial)
        for name, one in evidence.models.items()
    ):
        return read_cpus().model
    return project.lock.target.machine.model if project.lock.target.machine is not None else ""


def _demand(
    root: Path,
    models: tuple[ModelFacts, ...],
    intent: Intent,
    zone: str,
    findings: list[Finding],
) -> tuple[TrafficDemand, dict[str, str]]:
    clock = zone_of(zone)
    names = tuple(model.name for model in models)
    files: dict[tuple[str, str], History] = {}
    traffic = {}
    for name in names:
        own = intent.of(name)
        pattern = own.pattern or intent.business.pattern
        history = None
        if pattern.kind is PatternKind.HISTORY:
            key = (pattern.file, pattern.time_zone)
            if key not in files:
                files[key] = _history(root / pattern.file, pattern.time_zone or zone, names)
            history = files[key]
            _refuse_shared(history, name, names, intent, pattern.file)
        traffic[name] = forecast_traffic(
            name, TrafficRequirement(pattern, own.rate, own.peak_rate), clock, history
        )
    notes = dict.fromkeys(note for one in traffic.values() for note in one.notes)
    findings += [finding(note.code, Severity.WARNING, note.message) for note in notes]
    profiles = [traffic[name].profile for name in names]
    known = not any(profile.measured for profile in profiles)
    demand = TrafficDemand(names, align(profiles), known)
    return demand, {name: one.pattern for name, one in traffic.items()}


def _refuse_shared(
    history: History, name: str, names: tuple[str, ...], intent: Intent, file: str
) -> None:
    """A recording that does not tell models apart cannot be the rate of several of them."""
    apart = len(names) == 1 or "" not in history.profiles
    if not apart and intent.of(name).planning_rate is None:
        raise InvalidInputError(
            "TG320",
            f"{file} does not tell models apart, and {name} has no rate",
            fix=f"State `models.{name}.rate`; the file then gives the shape of its traffic.",
        )


def _history(path: Path, zone: str, names: tuple[str, ...]) -> History:
    text = _text(path, "TG323")
    if text.lstrip()[:1] in {"{", "["}:
        return parse_prometheus(text, zone_of(zone), str(path))
    return parse_table(text, zone_of(zone), str(path), names)


def _text(path: Path, code: str) -> str:
    """A text file of the user's, bounded.

    Raises:
        InvalidInputError: `code`, it cannot be read.
    """
    try:
        data = read_head(path, _MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InvalidInputError(code, "the file is larger than 200 MiB", where=str(path))
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError(code, what, where=str(path)) from problem
