"""What a trial has to say of its model, as findings."""

from collections.abc import Iterator

from tritongen.domain.evidence import BatchVerdict, Trial
from tritongen.domain.findings import Finding, Severity, finding


def trial_findings(model: str, trial: Trial) -> tuple[Finding, ...]:
    """Every warning of a trial, the gravest first; empty when it went well."""
    return tuple(_warnings(model, trial))


def _warnings(model: str, trial: Trial) -> Iterator[Finding]:
    if not trial.ok:
        message = f"the model did not run: {trial.error}"
        yield finding(trial.code or "TG201", Severity.WARNING, message, model=model)
        return
    if trial.code:
        message = f"the model ran on its first input, and the trial ended early: {trial.error}"
        yield finding(trial.code, Severity.WARNING, message, model=model)
    for sentence in trial.mismatches:
        yield finding("TG207", Severity.WARNING, sentence, model=model)
    if not trial.deterministic:
        message = "the same input gives different outputs"
        yield finding("TG209", Severity.WARNING, message, model=model)
    if trial.proof.verdict is BatchVerdict.COUPLED:
        yield finding("TG206", Severity.WARNING, trial.proof.reason, model=model)
