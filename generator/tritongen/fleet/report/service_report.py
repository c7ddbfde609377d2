"""One self-contained HTML page about a service: no script, nothing from a network."""

from dataclasses import dataclass
from pathlib import Path

from tritongen import __version__
from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import Option, PlanFile
from tritongen.fleet.capacity.option_ranking import replica_range
from tritongen.fleet.capacity.processors import relative_speed
from tritongen.fleet.report.other_cases import CaseRow, reality, what_if_rows
from tritongen.fleet.report.report_charts import (
    costs,
    measured_configurations,
    pareto,
    tuning,
    week,
)
from tritongen.fleet.report.tradeoff import Priced, tradeoff
from tritongen.fleet.stored_plan import read_plan, stale_plan
from tritongen.model.evidence import ModelEvidence
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import ModelIntent
from tritongen.model.variants import ORIGINAL, score_text
from tritongen.pages import Chart, render_page
from tritongen.planner.context import show_rate
from tritongen.repository.explain import Explanation, explain
from tritongen.repository.project import Project, load_project
from tritongen.repository.remembered import STATE_FOLDER
from tritongen.repository.stored_variants import judged_variants, source_hashes, with_selection


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the head of the page."""

    name: str
    value: str
    note: str


def report_page(
    root: Path, repository: Path, plan: Path | None = None, observed: Path | None = None
) -> str:
    """The page as text.

    Args:
        root: the models folder.
        repository: whose lock and plan are shown.
        plan: where the plan lies instead of beside the repository.
        observed: what `observe` printed as JSON, to be held against the plan.

    Raises:
        InvalidInputError: folder, tritongen.yaml, lock, plan or observation cannot be read.
    """
    project = _served(load_project(root, repository))
    stored = read_plan(repository, plan)
    option = stored.option if stored is not None else None
    page: dict[str, object] = {
        "title": root.resolve().name,
        "tool": f"tritongen {__version__}",
        "tiles": [],
        "plan": stored,
        "option": option,
        "charts": [],
        "models": [_model(project, facts, option) for facts in project.models],
        "findings": project.findings,
        "cases": (),
        "reality": reality(observed, stored) if observed is not None else None,
    }
    if stored is not None:
        page["tiles"] = _tiles(stored)
        page["charts"] = _charts(stored)
        stale = stale_plan(stored, project.lock)
        page["cases"], unplanned = _cases(project, stored)
        page["findings"] = (*project.findings, *stale, *stored.plan.findings, *unplanned)
    return render_page("report", page=page)


def _cases(project: Project, stored: PlanFile) -> tuple[tuple[CaseRow, ...], tuple[Finding, ...]]:
    """The plan for other cases, or why there is none."""
    try:
        return what_if_rows(project, stored), ()
    except InvalidInputError as problem:
        what = f"other cases cannot be planned: {problem.what}"
        return (), (finding(problem.code, Severity.INFO, what),)


def _served(project: Project) -> Project:
    """The project with what is served of each model; as it is where a variant does not hold."""
    try:
        return with_selection(project)
    except InvalidInputError:
        return project


def _tiles(stored: PlanFile) -> list[Tile]:
    option = stored.option
    machine, worst = option.machine, option.worst
    count = replica_range(option.least, option.most)
    mean = sum(one.mean_rate for one in stored.plan.traffic)
    peak = max(stored.plan.hourly_rates)
    tiles = [
        Tile("cost a month", f"${option.usd_per_month:,.0f}",
             f"${option.usd_per_million:,.3g} per million, price of {machine.price_date}"),
        Tile("machines", count, f"{machine.name}, {machine.provider} {machine.region}"),
        Tile("traffic", f"{show_rate(mean)}/s", f"on average; busiest hour {show_rate(peak)}/s"),
    ]  # fmt: skip
    if worst is not None:
        goal = f"goal p{worst.percentile:g} < {worst.limit_s * 1e3:.4g} ms"
        tiles.append(Tile("p99", f"{worst.p99_s.value * 1e3:.3g} ms", f"{worst.model}, {goal}"))
    usage = option.utilization
    if usage is not None:
        tiles.append(
            Tile("cores busy", f"{usage[0]:.0%}", f"{usage[1]:.0%} at peak; {option.binding} binds")
        )
    ratio = f"{option.lower_bound_ratio:.2f} ×"
    tiles.append(Tile("against the bound", ratio, "cost ÷ the least that could hold the goals"))
    return tiles


def _charts(stored: PlanFile) -> list[Chart]:
    plan = stored.plan
    found = [week(plan, stored.option, stored.time_zone), costs(plan), pareto(plan)]
    return [chart for chart in found if chart is not None]


def _model(project: Project, facts: ModelFacts, option: Option | None) -> dict[str, object]:
    locked = project.lock.models.get(facts.name) if project.lock is not None else None
    evidence = locked.evidence if locked is not None else None
    settings: tuple[Explanation, ...] = ()
    findings = facts.findings
    try:
        explained = explain(project.root, project.repository, facts.name)
        settings = tuple(one for one in explained.values if not one.field.startswith("server."))
        findings = (*findings, *explained.findings)
    except InvalidInputError:
        pass  # a model that is not served has no configuration
    tuned = evidence.tuned if evidence is not None else None
    charts = (
        _variants(project, project.originals.get(facts.name, facts), evidence, option),
        tuning(facts.name, measured_configurations(STATE_FOLDER, facts.name, tuned)),
    )
    return {
        "name": facts.name,
        "facts": _facts(facts, project.intent.of(facts.name), evidence),
        "findings": list(dict.fromkeys(findings)),
        "settings": settings,
        "charts": [chart for chart in charts if chart is not None],
    }


def _variants(
    project: Project, facts: ModelFacts, evidence: ModelEvidence | None, option: Option | None
) -> Chart | None:
    """What the variants of this very file give and take."""
    judged = judged_variants(project.root, facts.name)
    sources = source_hashes(project.root, facts) if judged else ()
    served = evidence.variant.name if evidence is not None and evidence.variant else ORIGINAL
    priced = None
    if option is not None:
        trial = evidence.trial if evidence is not None else None
        cpu = trial.cpu if trial is not None else ""
        priced = Priced(option.machine, relative_speed(cpu, option.machine.cpu).factor)
    current = [one for one in judged if one.sources == sources]
    return tradeoff(facts.name, current, served, priced)


def _facts(
    facts: ModelFacts, intent: ModelIntent, evidence: ModelEvidence | None
) -> list[tuple[str, str]]:
    found = [("format", facts.format.value), ("size", _size(facts.weight_bytes))]
    if intent.rate is not None or intent.peak_rate is not None:
        rates = (("average", intent.rate), ("peak", intent.peak_rate))
        text = ", ".join(f"{value:g}/s {name}" for name, value in rates if value is not None)
        found.append(("rate", text))
    if intent.latency_ms is not None:
        found.append(("goal", f"p{intent.percentile:g} < {intent.latency_ms:g} ms"))
    trial = evidence.trial if evidence is not None else None
    if trial is not None and trial.ok:
        found.append(("batch axis", f"{trial.proof.verdict.value}: {trial.proof.reason}"))
        alone = trial.cost_ms(1, 1)
        if alone is not None:
            found.append(("one row alone", f"{alone:.3g} ms on one thread"))
    if evidence is not None and evidence.tuned is not None:
        found.append(("tuned for", evidence.tuned.goal))
    if evidence is not None and evidence.variant is not None:
        variant = evidence.variant
        found.append(("variant", f"{variant.name}: {variant.reason or variant.verdict.value}"))
        if variant.accuracy is not None:
            score = variant.accuracy
            both = (score_text(score.variant), score_text(score.original))
            text = f"{score.metric} {both[0]}, original {both[1]}"
            found.append(("accuracy", text))
        if variant.speedup is not None:
            found.append(("against the original", str(variant.speedup)))
    return found


def _size(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count = round(count / 1024)
    return f"{count:,} GiB"
