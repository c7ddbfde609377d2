"""The plan under other loads, with a replica gone, and against what was observed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError, describe_error
from tritongen.fleet.capacity.capacity_plan import CapacityPlan, PlanFile, TrafficSummary
from tritongen.fleet.capacity.option_ranking import replica_range
from tritongen.fleet.capacity.sizing import CapacityInput
from tritongen.fleet.capacity.what_if import WhatIf, parse_what_if
from tritongen.fleet.plan_fleet import capacity_inputs
from tritongen.planner import left_out
from tritongen.planner.context import show_rate
from tritongen.repository.project import Project
from tritongen.system.paths import read_head

# As `plan --what-if` has them.
_CASES = ("rate × 2", "rate × 3", "one replica less")
_NONE = "–"
# Of a saved observation: a year by the minute of a hundred models takes less. Chosen.
_MAX_BYTES = 200 * 2**20


@dataclass(frozen=True, slots=True)
class CaseRow:
    """What the plan says of one case.

    Attributes:
        case: in words.
        replicas: fewest and most of all services.
        usd: a month.
        p99: of the model that comes closest to its goal.
        outcome: that the goals hold, or what does not.
    """

    case: str
    replicas: str = _NONE
    usd: str = _NONE
    p99: str = _NONE
    outcome: str = ""


def what_if_rows(project: Project, stored: PlanFile) -> tuple[CaseRow, ...]:
    """The cases on the plan's machine type; none where nothing was measured.

    Raises:
        InvalidInputError: traffic or models cannot be planned with any more.
    """
    lock = project.lock
    if lock is None:
        return ()
    intent = replace(project.intent, business=stored.business)
    lost = {item.model for item in left_out(project.models, intent, lock.evidence)}
    served = tuple(model for model in project.models if model.name not in lost)
    machines = (stored.option.machine,)
    inputs, _ = capacity_inputs(replace(project, models=served), intent, lock.evidence, machines)
    return case_rows(inputs)


def case_rows(inputs: CapacityInput) -> tuple[CaseRow, ...]:
    """What is planned for, and each case."""
    rows = [_row("as planned", WhatIf().plan(inputs, near=False))]
    for case in _CASES:
        try:
            rows.append(_row(case, parse_what_if(case).plan(inputs, near=False)))
        except InvalidInputError as problem:
            rows.append(CaseRow(case, outcome=problem.what))
    return tuple(rows)


def _row(case: str, plan: CapacityPlan) -> CaseRow:
    option = plan.options[0]
    if not option.services:
        return CaseRow(case, outcome=option.reason)
    worst = option.worst
    return CaseRow(
        case,
        replicas=replica_range(option.least, option.most),
        usd=f"{option.usd_per_month:,.2f}",
        p99=f"{worst.p99_s.value * 1e3:.3g} ms, {worst.model}" if worst is not None else _NONE,
        outcome="the goals hold" if option.feasible else option.reason,
    )


@dataclass(frozen=True, slots=True)
class ObservedRow:
    """One model as `observe` saw it, beside what was planned for.

    Attributes:
        model: its name.
        rate: mean requests per second.
        planned_rate: the same of the plan.
        peak: of the busiest step.
        planned_peak: the same of the plan.
        busy: share of the time that instances executed.
        failed: share of the requests.
    """

    model: str
    rate: str
    planned_rate: str
    peak: str
    planned_peak: str
    busy: str
    failed: str


@dataclass(frozen=True, slots=True)
class Reality:
    """What was observed.

    Attributes:
        source: where.
        rows: models.
        findings: (code, message with its model, severity).
    """

    source: str
    rows: tuple[ObservedRow, ...]
    findings: tuple[tuple[str, str, str], ...]


def reality(path: Path, stored: PlanFile | None) -> Reality:
    """The result of `tritongen observe --format json`, held against a plan.

    Raises:
        InvalidInputError: TG003 it cannot be read; TG980, it is no such result.
    """
    try:
        document = json.loads(read_head(path, _MAX_BYTES))
        planned = {one.model: one for one in stored.plan.traffic} if stored is not None else {}
        source = document["source"]
        return Reality(
            source if isinstance(source, str) else ", ".join(map(str, source)),
            tuple(_observed(one, planned.get(one["name"])) for one in document["models"]),
            tuple(
                (str(one["code"]), _told(one), str(one["severity"])) for one in document["findings"]
            ),
        )
    except OSError as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidInputError(
            "TG980",
            f"not a result of observe: {describe_error(problem)}",
            where=str(path),
            fix="Give what `tritongen observe --format json` printed.",
        ) from problem


def _observed(one: Mapping[str, Any], planned: TrafficSummary | None) -> ObservedRow:
    """A model that is not planned is held against tritongen.yaml."""
    rate = one["rate"]
    mean, peak = rate["intent_average"], rate["intent_peak"]
    if planned is not None:
        mean, peak = planned.mean_rate, planned.peak_rate
    return ObservedRow(
        model=str(one["name"]),
        rate=_rate(rate["mean"]),
        planned_rate=_rate(mean),
        peak=_rate(rate["peak"]),
        planned_peak=_rate(peak),
        busy=_NONE if one["busy"] is None else f"{float(one['busy']):.0%}",
        failed=f"{float(one['failure_share'] or 0.0):.2%}",
    )


def _rate(value: float | None) -> str:
    return _NONE if value is None else f"{show_rate(float(value))}/s"


def _told(one: Mapping[str, Any]) -> str:
    model = one.get("model")
    return f"{model}: {one['message']}" if model else str(one["message"])
