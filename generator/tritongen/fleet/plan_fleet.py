"""From a project, its traffic, measurements and prices to machines, replicas and a bill."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from tritongen.errors import InvalidInputError, describe_error
from tritongen.fleet.capacity.capacity_plan import CapacityPlan, Option, plan_path
from tritongen.fleet.capacity.demand import TrafficDemand, demand_of
from tritongen.fleet.capacity.model_profile import ModelProfile, profile_model
from tritongen.fleet.capacity.partition import handed_down
from tritongen.fleet.capacity.sizing import CapacityInput, plan_capacity
from tritongen.fleet.capacity.what_if import parse_what_if
from tritongen.fleet.catalogue import Catalogue, Machine, chosen, parse_catalogue, with_prices
from tritongen.fleet.plan_on_gpus import GpuPlan, plan_on_gpus, served_in_own_way
from tritongen.fleet.stored_plan import store_plan
from tritongen.fleet.traffic.rate_profile import (
    History,
    forecast_traffic,
    pattern_of,
    zone_of,
)
from tritongen.fleet.traffic.recordings import parse_prometheus, parse_table
from tritongen.intent import INTENT_FILE, raise_faults, read_intent
from tritongen.model.business import PatternKind
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent
from tritongen.model.progress import Progress
from tritongen.planner import left_out
from tritongen.repository.gather_evidence import gather_evidence, trial_policy
from tritongen.repository.project import Project, load_project
from tritongen.repository.stored_variants import with_selection
from tritongen.resources import template_text
from tritongen.system.machine import read_cpus
from tritongen.system.paths import read_head

# A list price that is older than this should be looked up again.
_OLD_DAYS = 240
_SHIPPED = "data/instance_types.csv"
# Of a price list or a recording; chosen: a year by the minute takes less than a tenth.
_MAX_BYTES = 200 * 2**20
# Of machines, where nothing was measured that could be planned for.
_NOTHING = CapacityPlan((), (), (), 0.0)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How to plan.

    Attributes:
        repository: whose lock holds the evidence.
        catalogue: a complete price list instead of the shipped one.
        price_list: prices that replace or add to it.
        provider: of machines; empty for what tritongen.yaml says.
        region: of machines; empty for what tritongen.yaml says.
        machines: types to consider; empty for what tritongen.yaml says.
        trial: run models that the lock holds no evidence of.
        write: store the plan beside the repository.
        output: where to store it instead.
        what_if: another case, such as `rate × 3` or `one replica less`; its plan is not stored.
    """

    repository: Path = Path("model_repository")
    catalogue: Path | None = None
    price_list: Path | None = None
    provider: str = ""
    region: str = ""
    machines: tuple[str, ...] = ()
    trial: bool = True
    write: bool = True
    output: Path | None = None
    what_if: str = ""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What was planned.

    Attributes:
        plan: ranked options.
        findings: on traffic, evidence, prices and result.
        path: where the plan was stored, None when it was not.
        left_out: the first error of every model that cannot be served.
        on_gpus: machine types with GPUs, and language models, by estimates and memory alone.
    """

    plan: CapacityPlan
    findings: tuple[Finding, ...]
    path: Path | None
    left_out: tuple[Finding, ...] = ()
    on_gpus: GpuPlan = field(default_factory=GpuPlan)

    @property
    def feasible(self) -> bool:
        """Whether a machine serves them; of language models alone, one whose memory does."""
        by_memory = not self.plan.options and bool(self.on_gpus.options)
        return self.plan.best is not None or by_memory


def plan(root: Path, options: PlanOptions, progress: Progress) -> FleetPlan:
    """Plan machines for the models of a folder.

    A plan is stored only when an option is feasible.

    Args:
        root: the models folder.
        options: how to plan.
        progress: told of each model that is run.

    Raises:
        InvalidInputError: TG009 no case, TG32x traffic, TG33x prices, TG341 no service times, TG353
            services.
    """
    case = parse_what_if(options.what_if) if options.what_if else None
    project = with_selection(load_project(root, options.repository))
    intent, machines = _machines(project, options)
    # Machines have cores of their own; what was tried for those of the target holds for all.
    policy = replace(trial_policy(run=options.trial, code=False), any_cores=True)
    gathered = gather_evidence(project, policy, progress)
    evidence = gathered.evidence
    left = left_out(project.models, intent, evidence)
    engines = served_in_own_way(project.models, intent)
    aside = {item.model for item in left} | {facts.name for facts in engines}
    wanted = (one for one in project.models if intent.of(one.name).serve)
    project = replace(project, models=tuple(one for one in wanted if one.name not in aside))
    inputs: CapacityInput | None = None
    remarks: tuple[Finding, ...] = ()
    if project.models or not engines or case is not None:
        try:
            inputs, remarks = capacity_inputs(project, intent, evidence, machines)
        except InvalidInputError as problem:
            more = [item.in_words for item in (*gathered.findings, *left)]
            problem.details = (*problem.details, *more)
            raise
    found = _NOTHING
    if inputs is not None:
        found = plan_capacity(inputs) if case is None else case.plan(inputs)
    path = None
    if inputs is not None and options.write and case is None:
        path = store_plan(found, inputs, options.output or Path(plan_path(options.repository)))
    models = (*(inputs.models if inputs is not None else ()), *engines)
    on_gpus = plan_on_gpus(machines, models, intent, evidence, found.traffic)
    old = _old_price(found.options[0], datetime.now(tz=UTC).date()) if found.options else []
    findings = (*left, *gathered.findings, *remarks, *found.findings, *on_gpus.findings, *old)
    return FleetPlan(found, findings, path, left, on_gpus)


def known_intent(models: Path | None) -> Intent:
    """What tritongen.yaml in a models folder says; the defaults without such a folder.

    Raises:
        InvalidInputError: it cannot be read, or has faults.
    """
    if models is None:
        return Intent()
    document = read_intent(models / INTENT_FILE)
    raise_faults(document.faults, document.path)
    return document.intent


def _old_price(best: Option, today: date) -> list[Finding]:
    machine = best.machine
    if not machine.price_date:
        what = f"the price of {machine.name} has no date"
        return [finding("TG334", Severity.INFO, what)]
    age = (today - date.fromisoformat(machine.price_date)).days
    if age <= _OLD_DAYS:
        return []
    what = f"the price of {machine.name} is of {machine.price_date}, {age} days ago"
    return [finding("TG334", Severity.WARNING, what)]


def shipped_catalogue() -> Catalogue:
    """The machine types that come with the tool."""
    return parse_catalogue(template_text(_SHIPPED), _SHIPPED)


def _machines(project: Project, options: PlanOptions) -> tuple[Intent, tuple[Machine, ...]]:
    """The intent with the options applied, and the machines that they admit.

    Raises:
        InvalidInputError: TG330 a faulty list, TG331 to TG333 a choice that nothing fits.
    """
    cloud = project.intent.business.cloud
    cloud = replace(
        cloud,
        provider=options.provider.lower() or cloud.provider,
        region=options.region or ("" if options.provider else cloud.region),
        machines=options.machines or cloud.machines,
    )
    catalogue = shipped_catalogue()
    if options.catalogue is not None:
        catalogue = parse_catalogue(_text(options.catalogue, "TG330"), str(options.catalogue))
    prices = options.price_list or (project.root / cloud.prices if cloud.prices else None)
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
        if model.servable and intent.of(model.name).serve and model.name in evidence.models
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
        pattern = pattern_of(intent, name)
        history = None
        if pattern.kind is PatternKind.HISTORY:
            key = (pattern.file, pattern.time_zone)
            if key not in files:
                files[key] = _history(root / pattern.file, pattern.time_zone or zone, names)
            history = files[key]
            _refuse_shared(history, name, names, intent, pattern.file)
        traffic[name] = forecast_traffic(name, intent, clock, history)
    findings += dict.fromkeys(note for one in traffic.values() for note in one.notes)
    demand = demand_of({name: one.profile for name, one in traffic.items()})
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
