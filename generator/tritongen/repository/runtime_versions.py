"""Libraries that models were tried with, where they are not those of the target's release."""

from collections.abc import Collection, Mapping

from tritongen.model.evidence import ModelEvidence, runtime_version
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.releases import older
from tritongen.repository.project import Project
from tritongen.trial.target_library import target_library

_MAX_NAMES = 3  # chosen: a line of the terminal
# Measured with random forests, extra trees, single trees, bagging and AdaBoost of scikit-learn, two
# classes: 9 to 29 % of the labels are wrong in 1.27.0; 1.24.4 and 1.28.0 are right. The defect came
# with 1.26.0 (ONNX Runtime's issue 28557).
_WRONG_VOTES_SINCE, _WRONG_VOTES_BEFORE = "1.26.0", "1.28.0"


def runtime_findings(
    project: Project, models: Mapping[str, ModelEvidence], tried: Collection[str]
) -> tuple[Finding, ...]:
    """One finding for each library whose version says little of the target's.

    Of ONNX Runtime that is any other version, since the target's own can be had; of the others
    a newer one, which may load what the target's refuses.

    Args:
        project: with the target's release.
        models: what is known of them.
        tried: those that were run just now; of the others the lock is told, as a remark.
    """
    release = project.release
    found: dict[tuple[ModelFormat, str, str], list[str]] = {}
    for facts in project.models:
        evidence = models.get(facts.name)
        ran = evidence.trial.runtime if evidence is not None and evidence.trial is not None else ""
        there = runtime_version(release, facts.format)
        is_onnx = facts.format is ModelFormat.ONNX
        here = ran.rpartition(" ")[2]
        if ran and there and (older(there, here) or (is_onnx and older(here, there))):
            found.setdefault((facts.format, ran, there), []).append(facts.name)
    return tuple(
        _finding(project, key, names, now=not set(tried).isdisjoint(names))
        for key, names in found.items()
    )


def wrong_answers(project: Project) -> tuple[Finding, ...]:
    """Models whose answers are known to be wrong in the ONNX Runtime of the target's release."""
    there = project.release.onnxruntime
    if older(there, _WRONG_VOTES_SINCE) or not older(there, _WRONG_VOTES_BEFORE):
        return ()
    message = (
        f"ONNX Runtime {there} of Triton {project.release.tag} gives wrong labels and "
        "probabilities for decision trees of two classes that are not boosted"
    )
    return tuple(
        facts.finding("TG219", message, severity=Severity.WARNING)
        for facts in project.models
        if facts.onnx is not None and facts.onnx.one_class_votes
    )


def _finding(
    project: Project, key: tuple[ModelFormat, str, str], names: list[str], *, now: bool
) -> Finding:
    format_, ran, there = key
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    message = (
        f"{', '.join(names[:_MAX_NAMES])}{more}: tried with {ran}; "
        f"Triton {project.release.tag} has {there}"
    )
    if now and format_ is ModelFormat.ONNX and (reason := target_library(there).reason):
        message += f": {reason}"
    return finding("TG217", Severity.WARNING if now else Severity.INFO, message)
