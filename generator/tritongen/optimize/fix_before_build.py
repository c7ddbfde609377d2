"""Fixes every model that needs it before a build, and names the variants to serve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding
from tritongen.model.variants import FIXED, fixes_for
from tritongen.optimize.optimize_models import OptimizeOptions, optimize
from tritongen.planner.trial_findings import trial_findings
from tritongen.repository.project import Project
from tritongen.repository.stored_variants import find_variant

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FixedModels:
    """What came of the fixes.

    Attributes:
        variants: to serve, by model.
        findings: on models that could not be fixed, or only in part.
    """

    variants: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def fix_models(project: Project, options: OptimizeOptions, progress: Progress) -> FixedModels:
    """Fix the ONNX models with findings that a fix may remove; those fixed before stay as they are.

    Args:
        project: with the originals.
        options: limits, and how text labels are served.
        progress: told of each piece of work.

    Raises:
        InvalidInputError, EnvironmentProblem: as `optimize`.
    """
    known = project.lock.evidence if project.lock is not None else Evidence()
    done: dict[str, str] = {}
    todo: list[ModelFacts] = []
    for facts in project.models:
        if facts.format is not ModelFormat.ONNX or project.intent.of(facts.name).skip:
            continue
        if _is_fixed(project, facts):
            done[facts.name] = FIXED
        elif _needs_fixing(facts, known.models.get(facts.name)):
            todo.append(facts)
    if not todo:
        return FixedModels(done)
    chosen = replace(options, fix=True, quantize=False, graph=False, accelerate=False)
    fixed = optimize(replace(project, models=tuple(todo)), chosen, progress)
    done |= {item.name: FIXED for item in fixed if any(v.name == FIXED for v in item.variants)}
    return FixedModels(done, tuple(entry for item in fixed for entry in item.findings))


def _is_fixed(project: Project, facts: ModelFacts) -> bool:
    """Whether a fixed variant of this very original is at hand."""
    try:
        find_variant(project, facts, FIXED)
    except InvalidInputError:
        return False
    return True


def _needs_fixing(facts: ModelFacts, known: ModelEvidence | None) -> bool:
    """Whether a finding on the file, or of its trial, may be fixed; true while it is untried."""
    if known is None or known.trial is None:
        return True
    remarks = trial_findings(facts.name, known.trial) if known.variant is None else ()
    return any(fixes_for(item.code) for item in (*facts.findings, *remarks))
