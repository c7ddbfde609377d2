"""From a folder to the facts of every model in it, one model a name."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.formats.config_template import with_values
from tritongen.formats.discovery import ModelCandidate, find_models
from tritongen.formats.folder_entries import CandidateVersion, is_leftover
from tritongen.formats.model_files import version_files
from tritongen.formats.readers import READERS
from tritongen.formats.reading import ModelSource
from tritongen.formats.servability import validate
from tritongen.formats.stated_engines import stated_engines, with_engines
from tritongen.model.declared_tensors import with_declared
from tritongen.model.facts import FileRef, ModelFacts, ModelVersion
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.releases import Release
from tritongen.model.sequence_intent import SequenceIntent
from tritongen.model.sequence_states import INITIAL_FOLDER, initial_file, likely_states
from tritongen.system.paths import contained


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a folder holds.

    Attributes:
        models: by name, one of each; each with its own findings.
        findings: what belongs to no model.
    """

    models: tuple[ModelFacts, ...]
    findings: tuple[Finding, ...] = ()


def inspect_folder(
    root: Path,
    release: Release,
    *,
    libraries: Collection[str] = (),
    intent: Intent | None = None,
) -> Inspection:
    """The facts and findings of every model in a folder.

    Args:
        root: the models folder.
        release: the Triton that is to serve them.
        libraries: models whose overlay names a library with their own operators.
        intent: completes what the files do not say of inputs and outputs; None leaves it open,
            as in a repository, where the configurations say it.

    Raises:
        InvalidInputError: TG002, TG003 or TG101, there is no folder or no model in it. What is
            wrong with one model is a finding of that model.
    """
    stated = stated_engines(intent) if intent is not None and not root.is_file() else ()
    try:
        discovery = find_models(root)
    except InvalidInputError as problem:
        if problem.code != "TG101" or not stated:
            raise
        return Inspection(stated)
    models = one_per_name(
        inspect_model(
            discovery.root,
            candidate,
            release,
            library=candidate.name in libraries,
            intent=intent.of(candidate.name) if intent is not None else None,
        )
        for candidate in discovery.candidates
    )
    if intent is not None:
        models = with_engines(with_values(models, intent), stated, intent)
    return Inspection(models, discovery.findings)


def inspect_model(
    root: Path,
    candidate: ModelCandidate,
    release: Release,
    *,
    library: bool = False,
    intent: ModelIntent | None = None,
) -> ModelFacts:
    """The facts and findings of one model; never raises for what is wrong with it.

    Args:
        root: the models folder, resolved, as in `Discovery.root`.
        candidate: from `find_models`.
        release: the Triton that is to serve it.
        library: whether its overlay names a library with the model's own operators.
        intent: what the user declares of it, None when that is not asked for.
    """
    facts = ModelFacts(candidate.name, candidate.path, candidate.format)
    versions: list[ModelVersion] = []
    findings = list(candidate.findings)
    read: list[tuple[CandidateVersion, ModelFacts]] = []
    for version in candidate.versions:
        source = ModelSource(root, version.path, candidate.name, version.format, version.number)
        facts = _read(source)
        found, problems = version_files(source, facts)
        versions.append(found)
        findings += [*facts.findings, *problems]
        read.append((version, facts))
    # The last version is the one that is described.
    facts = replace(facts, path=candidate.path, versions=tuple(versions), findings=tuple(findings))
    if intent is not None:
        facts = with_declared(facts, intent)
    findings = [*facts.findings, *_differences(candidate, read)]
    if facts.onnx is not None or facts.inputs or facts.outputs:
        findings += validate(facts, release, library=library)
    if intent is None or intent.sequence is None:
        findings += _recurrent(facts)
        return replace(facts, findings=tuple(findings))
    beside, faults = _first_states(root, facts, intent.sequence)
    return replace(facts, findings=(*findings, *faults), beside=(*facts.beside, *beside))


def _first_states(
    root: Path, facts: ModelFacts, sequence: SequenceIntent
) -> tuple[tuple[FileRef, ...], list[Finding]]:
    """Files with the states that sequences begin with."""
    files, faults = [], []
    for name, source in sequence.initial.items():
        field = f"models.{facts.name}.sequence.initial.{name}"
        try:
            path = contained(root, root / source)
            size = path.stat().st_size if path is not None and path.is_file() else None
        except OSError:
            size = None
        if size is None:
            message = f"{source} is no file in the models folder"
            faults.append(finding("TG318", Severity.ERROR, message, model=facts.name, field=field))
        else:
            files.append(FileRef(source, f"{INITIAL_FOLDER}/{initial_file(source)}", size))
    return tuple(dict.fromkeys(files)), faults


def _recurrent(facts: ModelFacts) -> list[Finding]:
    """A hint that the server could keep the model's state."""
    pairs = likely_states(facts)
    if not pairs:
        return []
    listed = ", ".join(f"{name} → {output}" for name, output in pairs)
    state = ", ".join(f"{name}: {output}" for name, output in pairs)
    message = f"looks like a model that carries state from request to request: {listed}"
    key = f"models.{facts.name}.sequence: {{ state: {{ {state} }} }}"
    fix = f"To have the server keep it: {key} in tritongen.yaml."
    hint = facts.finding("TG144", message, severity=Severity.INFO, fix=fix, field=pairs[0][0])
    return [hint]


def _read(source: ModelSource) -> ModelFacts:
    """What the reader of the format says; its failure becomes a finding."""
    try:
        return READERS[source.format](source)
    except InvalidInputError as error:
        message = f"{source.path}: {error.what}"
        return source.facts.refused(error.code, message, fix=error.fix)
    except OSError as error:
        message = f"{source.path} cannot be read: {error.strerror or error}"
        return source.facts.refused("TG003", message)


def _differences(
    candidate: ModelCandidate, read: Sequence[tuple[CandidateVersion, ModelFacts]]
) -> list[Finding]:
    """Earlier versions that the configuration of the last one does not fit."""
    findings: list[Finding] = []
    for version, facts in read[:-1]:
        number, last = read[-1][0].number, read[-1][1]
        if facts.format is not last.format:
            what = "format"
        elif (facts.inputs, facts.outputs) != (last.inputs, last.outputs):
            what = "inputs or outputs"
        else:
            continue
        message = f"version {version.number} has other {what} than version {number}"
        model, path = candidate.name, version.path
        findings.append(finding("TG130", Severity.WARNING, message, model=model, path=path))
    return findings


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
        message = f"{len(servable)} models have the name {taken.name!r}: {paths}"
        rename = f"Rename all but the one to serve as {taken.name!r}"
        fix = f"{rename}, or move them out of the models folder."
        findings.append(taken.finding("TG125", message, fix=fix))
    return replace(taken, findings=(*taken.findings, *findings))


def _other(facts: ModelFacts, taken: ModelFacts) -> Finding:
    """That a file is not the model of its name, and why; files of a training are no surprise."""
    faults = [item.message for item in facts.findings if item.severity is Severity.ERROR]
    return facts.finding(
        "TG148",
        f"{facts.path} is not used: {taken.path} is the model of that name; {faults[0]}",
        severity=Severity.INFO if is_leftover(facts.format) else Severity.WARNING,
    )
