"""From traffic, measurements and prices to machines, replicas and a bill."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from tritongen import __version__
from tritongen.errors import InvalidInputError, describe_error
from tritongen.fleet.capacity.capacity_plan import (
    CapacityPlan,
    Option,
    PlanFile,
    parse_plan,
    plan_path,
    plan_text,
)
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.plan_inputs import PriceChoice, capacity_inputs, machines_of, plan_time_zone
from tritongen.model.evidence import Evidence
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.lock import Lock
from tritongen.repository.gather_evidence import gather_evidence, trial_policy
from tritongen.repository.project import load_project
from tritongen.repository.stored_variants import with_selection
from tritongen.system.files import write_atomic
from tritongen.system.paths import open_regular

# A list price that is older than this should be looked up again.
_OLD_DAYS = 240

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How to plan.

    Attributes:
        repository: whose lock holds the evidence.
        prices: which machines are admitted.
        trial: run models that the lock holds no evidence of.
        write: store the plan beside the repository.
        output: where to store it instead.
    """

    repository: Path
    prices: PriceChoice = field(default_factory=PriceChoice)
    trial: bool = True
    write: bool = True
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What was planned.

    Attributes:
        plan: ranked options.
        findings: on traffic, evidence, prices and result.
        path: where the plan was stored, None when it was not.
    """

    plan: CapacityPlan
    findings: tuple[Finding, ...]
    path: Path | None


def plan(root: Path, options: PlanOptions, progress: Progress) -> FleetPlan:
    """Plan machines for the models of a folder.

    A plan is stored only when an option is feasible.

    Args:
        root: the models folder.
        options: how to plan.
        progress: told of each model that is run.

    Raises:
        InvalidInputError: TG32x traffic, TG33x prices, TG341 no service times, TG353 services.
    """
    project = with_selection(load_project(root, options.repository))
    intent, machines = machines_of(project, options.prices)
    gathered = gather_evidence(project, trial_policy(run=options.trial, code=False), progress)
    evidence = gathered.evidence
    try:
        inputs, remarks = capacity_inputs(project, intent, evidence, machines)
    except InvalidInputError as problem:
        more = [f"{item.model}: {item.message} → {item.fix}" for item in gathered.findings]
        problem.details = (*problem.details, *more)
        raise
    found = plan_capacity(inputs)
    path = None
    if found.best is not None and options.write:
        file = PlanFile(
            tool=f"tritongen {__version__}",
            plan=found,
            chosen=found.options.index(found.best),
            time_zone=plan_time_zone(intent),
            business=intent.business,
            models=_hashes(evidence, tuple(inputs.profiles)),
        )
        path = options.output or Path(plan_path(options.repository))
        write_atomic(path, plan_text(file).encode())
    old = tuple(_old_price(found.options[0], datetime.now(tz=UTC).date()))
    return FleetPlan(found, (*gathered.findings, *remarks, *found.findings, *old), path)


def read_plan(repository: Path, path: Path | None = None) -> PlanFile | None:
    """The plan of a repository, None when there is none.

    Args:
        repository: beside which it lies.
        path: where it lies instead.

    Raises:
        InvalidInputError: TG354, it cannot be read, or is named and not there.
    """
    place = path or Path(plan_path(repository))
    try:
        with os.fdopen(open_regular(place), encoding="utf-8") as file:
            return parse_plan(file.read(), str(place))
    except FileNotFoundError as problem:
        if path is None:
            return None
        raise InvalidInputError("TG354", "does not exist", where=str(place)) from problem
    except (OSError, UnicodeDecodeError) as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG354", what, where=str(place)) from problem


def stale_plan(file: PlanFile, lock: Lock | None) -> tuple[Finding, ...]:
    """A warning where models have changed since the plan was made."""
    changed = changed_models(file, lock) if lock is not None else []
    if not changed:
        return ()
    what = f"{', '.join(changed)} changed since the plan was made"
    return (finding("TG355", Severity.WARNING, what),)


def changed_models(file: PlanFile, lock: Lock) -> list[str]:
    """Models whose main file is another one than the plan was made for."""
    served = {name: one.evidence.files[:1] for name, one in lock.models.items()}
    return [
        name
        for name, digest in sorted(file.models.items())
        if served.get(name) and served[name][0][1] != digest
    ]


def _hashes(evidence: Evidence, names: tuple[str, ...]) -> dict[str, str]:
    return {
        name: evidence.models[name].files[0][1] for name in names if evidence.models[name].files
    }


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
