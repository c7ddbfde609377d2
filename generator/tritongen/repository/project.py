"""A project: models folder, `tritongen.yaml` and lock, read and checked together.

Its folder remembers locally which models a repository was built from, and whose code has run.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import InvalidInputError
from tritongen.intent import INTENT_FILE, Fault, IntentDocument, raise_faults, read_intent
from tritongen.model.cores import CpuReading, budget_of, budget_of_limit
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding
from tritongen.model.input_values import parse_values
from tritongen.model.intent import Intent, WeightsMode
from tritongen.model.lock import Lock
from tritongen.model.releases import Release, find
from tritongen.model.serving_plan import Planned
from tritongen.model.variants import Variant
from tritongen.repository.absent_weights import absence, stored_facts
from tritongen.repository.lock_file import lock_texts, parsed_lock, read_lock
from tritongen.repository.remembered import remember, remembered
from tritongen.repository.write_repository import settle
from tritongen.system.machine import read_cpus

if TYPE_CHECKING:
    from tritongen.formats import Inspection

__all__ = ["CpuBudget", "Project", "load_project", "read_lock"]
_PROJECTS, _CODE = "projects.json", "code.json"


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """The cores to plan for.

    Attributes:
        cores: whole cores with their reason.
        machine: what this or an earlier machine said; None when tritongen.yaml states the cores.
    """

    cores: Planned[int]
    machine: CpuReading | None


@dataclass(frozen=True, slots=True)
class Project:
    """Everything that was read, before any model is run.

    Attributes:
        root: the models folder.
        repository: the output folder.
        intent: from `tritongen.yaml`, or the defaults.
        release: the target Triton.
        models: facts of every model.
        findings: on the folder as a whole.
        lock: of the repository, None when there is none yet.
        lock_texts: what `lock` was read from, by path relative to the repository.
        variants: by model, for those that stand in the place of their originals in `models`.
        originals: facts of those originals.
        alone: whether one model file was named, and not its folder.
        stored: names of models whose files are not here, and whose facts are the lock's.
    """

    root: Path
    repository: Path
    intent: Intent
    release: Release
    models: tuple[ModelFacts, ...]
    findings: tuple[Finding, ...]
    lock: Lock | None
    lock_texts: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=dict)
    originals: Mapping[str, ModelFacts] = field(default_factory=dict)
    alone: bool = False
    stored: frozenset[str] = frozenset()

    def refreshed(self) -> "Project":
        """The project with the lock as it is now: another build may have written a new one."""
        texts = lock_texts(self.repository)
        if texts == self.lock_texts:
            return self
        return replace(self, lock=parsed_lock(texts, self.repository), lock_texts=texts)

    def target(self, *, remeasure: bool = False) -> CpuBudget:
        """The stated cores, else those recorded in the lock, else this machine's, read once."""
        cpus = self.intent.target.cpus
        if cpus is not None:
            return CpuBudget(budget_of_limit(cpus), None)
        recorded = self.lock.target.machine if self.lock is not None else None
        reading = read_cpus() if recorded is None or remeasure else recorded
        return CpuBudget(budget_of(reading), reading)


def load_project(
    root: Path,
    repository: Path,
    *,
    cpus: float | None = None,
    weights: str | None = None,
    only: frozenset[str] = frozenset(),
    without_files: bool = False,
) -> Project:
    """Read the models folder, its `tritongen.yaml` and the repository's lock.

    Args:
        root: the models folder, or a model file in it, which then is the only one.
        repository: the output folder; it need not exist.
        cpus: overrides target.cpus.
        weights: overrides the weights mode.
        only: names of models to keep; empty keeps all.
        without_files: whether the lock's facts will do for models whose files are not here.

    Raises:
        InvalidInputError: the folder or file cannot be used; every fault of the YAML in `details`.
    """
    named, alone = root, root.is_file()
    root = named.parent if alone else named
    document = _document(root / INTENT_FILE)
    intent = _overridden(document.intent, cpus, weights)
    intent = replace(intent, pipelines={}) if alone else intent
    release = find(intent.target.triton)
    settle(repository)
    texts = lock_texts(repository)
    lock = parsed_lock(texts, repository)
    inspection, stored = _inspected(named, release, intent, lock if without_files else None)
    _raise_faults(document, inspection.models, whole=not alone)
    chosen = [model_named(name, inspection.models, root).name for name in sorted(only)]
    models = tuple(model for model in inspection.models if not only or model.name in chosen)
    return Project(
        root=root,
        repository=repository,
        intent=intent,
        release=release,
        models=models,
        findings=tuple(item for item in inspection.findings if not _of_samples(item, intent)),
        lock=lock,
        lock_texts=texts,
        alone=alone,
        stored=stored,
    )


def _inspected(
    root: Path, release: Release, intent: Intent, lock: Lock | None
) -> tuple["Inspection", frozenset[str]]:
    """What the folder holds, and the names of models of which the lock tells instead."""
    from tritongen.formats import Inspection

    try:
        found = _inspect(root, release, intent)
    except InvalidInputError as problem:
        if problem.code != "TG101" or lock is None:
            raise
        found = Inspection(())
        if not stored_facts((), lock, root):
            raise
    stored = stored_facts(found.models, lock, root)
    models = {facts.name: facts for facts in found.models} | stored
    findings = (*found.findings, *map(absence, stored))
    return Inspection(tuple(models[name] for name in sorted(models)), findings), frozenset(stored)


def _document(path: Path) -> IntentDocument:
    document = read_intent(path)
    if document.faults:
        # The folder may not be readable as the file says; its own faults come first.
        raise_faults([*document.faults, *_overlay_faults(document)], document.path)
    return document


def _raise_faults(document: IntentDocument, models: tuple[ModelFacts, ...], *, whole: bool) -> None:
    """Faults that the models show, or the whole folder."""
    unknown = _unknown_models(document, models) if whole else ()
    found = [*_overlay_faults(document), *_values_faults(document, models), *unknown]
    raise_faults(found, document.path)


def _of_samples(item: Finding, intent: Intent) -> bool:
    """Whether it complains that a folder of samples holds no model."""
    patterns = [
        text
        for name in (*intent.models, *intent.pipelines)
        for text in intent.samples_of(name).values()
    ]
    folders = {"samples", *(pattern.partition("/")[0] for pattern in patterns)}
    return item.code == "TG104" and item.location.path in folders


def _overridden(intent: Intent, cpus: float | None, weights: str | None) -> Intent:
    """The intent with what the command line says over it."""
    if cpus is not None:
        intent = replace(intent, target=replace(intent.target, cpus=cpus))
    return intent if weights is None else replace(intent, weights=WeightsMode(weights))


def _inspect(root: Path, release: Release, intent: Intent) -> "Inspection":
    from tritongen.formats import inspect_folder

    with_library = [
        name
        for name, model in intent.models.items()
        if isinstance(model.overlay.get("model_operations"), dict)
    ]
    return inspect_folder(root, release, libraries=with_library, intent=intent)


def model_named(name: str, models: Sequence[ModelFacts], root: Path) -> ModelFacts:
    """One of the models of a folder.

    Raises:
        InvalidInputError: TG306, there is no such model.
    """
    known = {model.name: model for model in models}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise InvalidInputError(
            "TG306",
            f"there is no model {name!r}; found: {', '.join(known)}",
            where=str(root),
            fix=f"Did you mean {near[0]!r}?" if near else "",
        )
    return known[name]


def _overlay_faults(document: IntentDocument) -> Iterator[Fault]:
    from tritongen.config.overlay import overlay_faults

    for name, model in document.intent.models.items():
        for fault in overlay_faults(model.overlay) if model.overlay else ():
            path = f"models.{name}.overlay.{fault.path}"
            yield document.fault(path, fault.message, "TG307")


def _values_faults(document: IntentDocument, models: tuple[ModelFacts, ...]) -> Iterator[Fault]:
    """Value generators that cannot be read, or inputs that the model does not have."""
    facts = {model.name: model for model in models}
    for name, intent in document.intent.models.items():
        model = facts.get(name)
        specs = {spec.name: spec for spec in model.inputs} if model is not None else {}
        for declared in intent.inputs.values():
            path = f"models.{name}.inputs.{declared.name}"
            spec = specs.get(declared.name)
            if specs and spec is None:
                known = ", ".join(specs)
                yield document.fault(path, f"the model has no such input; it has {known}")
                continue
            dtype = declared.dtype or (spec.dtype if spec is not None else None)
            if declared.values and dtype is not None:
                try:
                    parse_values(declared.values, dtype)
                except InvalidInputError as problem:
                    yield document.fault(f"{path}.values", problem.what)


def _unknown_models(document: IntentDocument, models: Sequence[ModelFacts]) -> Iterator[Fault]:
    names = [model.name for model in models]
    for name in document.intent.models:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield document.fault(
                f"models.{name}", f"there is no such model in the folder{hint}", "TG306"
            )


def remember_models(repository: Path, models: Path) -> None:
    """Note the models folder of a repository; a folder that cannot be written forgets it."""
    remember(_PROJECTS, {str(repository.resolve()): str(models.resolve())})


def last_models(repository: Path) -> Path:
    """The models folder or file that the repository was last built from, else ``models``.

    Raises:
        InvalidInputError: TG002 when neither is known.
    """
    known = remembered(_PROJECTS).get(str(repository.resolve()))
    for candidate in (known, "models"):
        if candidate and Path(candidate).exists():
            return Path(candidate)
    raise InvalidInputError(
        "TG002",
        f"the models folder of {repository} is not known here",
        fix="Name it on the command line.",
    )


def remember_code(folder: Path) -> bool:
    """Whether code of a folder runs here for the first time; it is no longer the first then."""
    name = str(folder.resolve())
    if name in remembered(_CODE):
        return False
    remember(_CODE, {name: "told"})
    return True
