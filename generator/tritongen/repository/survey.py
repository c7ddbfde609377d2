"""One pass over a plan: every model is rendered, compared, linted, and forgotten again.

Of each model an outline remains, so that a thousand of them take little more memory than their
plans. A text that is wanted again, to be written or shown, is rendered again: it is the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritongen.config.lint import Linter
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding
from tritongen.model.serving_plan import ModelPlan, ServingPlan
from tritongen.repository.check import ensemble_view, model_view, plan_context
from tritongen.repository.compare import Difference, text_differences
from tritongen.repository.project import Project
from tritongen.repository.render_repository import (
    Outline,
    RenderedEnsemble,
    RenderedModel,
    outline,
    render_ensembles,
    render_model,
)


class Texts:
    """The texts of a planned repository, each rendered when it is asked for.

    Args:
        project: with facts and variants.
        plan: of the server.
    """

    def __init__(self, project: Project, plan: ServingPlan) -> None:
        self._facts: Mapping[str, ModelFacts] = {facts.name: facts for facts in project.models}
        self._variants = project.variants
        self._plans: Mapping[str, ModelPlan] = {model.name: model for model in plan.models}
        self.ensembles = render_ensembles(plan)

    def models(self) -> Iterator[RenderedModel]:
        """Every model, one after the other."""
        yield from map(self._rendered, self._plans)

    def of(self, path: str) -> str:
        """The text at a path of the repository."""
        name = path.partition("/")[0]
        if name in self._plans:
            return self._rendered(name).files[path]
        return next(item.files[path] for item in self.ensembles if item.plan.name == name)

    def _rendered(self, name: str) -> RenderedModel:
        return render_model(self._plans[name], self._facts[name], self._variants.get(name))


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a plan has found.

    Attributes:
        models: outlines, in the order of the plan.
        ensembles: rendered pipelines.
        differences: of the models' and pipelines' texts from those on disk.
        findings: of the linter.
    """

    models: tuple[Outline, ...]
    ensembles: tuple[RenderedEnsemble, ...]
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]

    @property
    def names(self) -> Iterator[str]:
        """Of every model and pipeline."""
        yield from (item.plan.name for item in self.models)
        yield from (item.plan.name for item in self.ensembles)


def survey_texts(project: Project, plan: ServingPlan, texts: Texts, evidence: Evidence) -> Survey:
    """Render, compare and lint everything that a plan writes, one model after the other.

    Raises:
        InvalidInputError: TG003, a file of the repository cannot be read.
        EnvironmentProblem: TG001, a text would not parse back to its message.
    """
    linter = Linter(plan_context(plan, project.release))
    outlines: list[Outline] = []
    differences: list[Difference] = []
    for model in texts.models():
        differences += text_differences(project, model.files, texts.of)
        linter.add(model_view(model, evidence.models[model.plan.name].trial))
        outlines.append(outline(model))
    for ensemble in texts.ensembles:
        differences += text_differences(project, ensemble.files, texts.of)
        linter.add(ensemble_view(ensemble))
    return Survey(tuple(outlines), texts.ensembles, tuple(differences), linter.findings())
