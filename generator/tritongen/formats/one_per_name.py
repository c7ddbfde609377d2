"""One model a name: which of several files of one name is served, and what is said of the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tritongen.formats.discovery import is_leftover
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity


def one_per_name(models: Iterable[ModelFacts]) -> tuple[ModelFacts, ...]:
    """The models with one of each name; the files that give way are named in a finding of it.

    Args:
        models: everything that was inspected, in its order.
    """
    forms: dict[str, list[ModelFacts]] = {}
    for facts in models:
        forms.setdefault(facts.name, []).append(facts)
    return tuple(_taken(same) if len(same) > 1 else same[0] for same in forms.values())


def _taken(forms: Sequence[ModelFacts]) -> ModelFacts:
    """The form that can be served; an error of it where more than one can."""
    servable = [facts for facts in forms if facts.servable]
    taken = min(forms, key=lambda facts: (not facts.servable, is_leftover(facts.format)))
    findings = [_other(facts, taken) for facts in forms if facts not in (taken, *servable)]
    if len(servable) > 1:
        paths = ", ".join(facts.path for facts in servable)
        fault = taken.finding(
            "TG125",
            f"{len(servable)} models have the name {taken.name!r}: {paths}",
            fix=f"Rename all but the one to serve as {taken.name!r}, or move them out of the "
            "models folder.",
        )
        findings.append(fault)
    return replace(taken, findings=(*taken.findings, *findings))


def _other(facts: ModelFacts, taken: ModelFacts) -> Finding:
    """That a file is not the model of its name, and why; files of a training are no surprise."""
    faults = [item.message for item in facts.findings if item.severity is Severity.ERROR]
    return facts.finding(
        "TG148",
        f"{facts.path} is not used: {taken.path} is the model of that name; {faults[0]}",
        severity=Severity.INFO if is_leftover(facts.format) else Severity.WARNING,
    )
