"""Lints a repository: on disk, or as it is about to be written.

A plan is surveyed in one pass: every model is rendered, compared, linted, and forgotten again. Of
each one an outline remains, so that a thousand of them take little more memory than their plans. A
text that is wanted again, to be written or shown, is rendered again: it is the same.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from tritongen.config.lint import LintContext, Linter, ModelView
from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.code_choice import CodeChoice, Sifted, sift, unused
from tritongen.model.evidence import Evidence, ModelEvidence, Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import DEFAULT_TRITON
from tritongen.model.lock import CACHE, LIMITER_RESOURCE, Lock, is_rate_limited
from tritongen.model.releases import Release, find
from tritongen.model.serving_plan import ModelPlan, ServingPlan
from tritongen.repository.compare import Difference, file_digest, text_differences
from tritongen.repository.ignores import not_ignored, stated
from tritongen.repository.inspect import StoredModel, stored_models
from tritongen.repository.lock_file import config_text
from tritongen.repository.project import Project, read_lock
from tritongen.repository.render_repository import (
    CONFIG_FILE,
    Outline,
    RenderedEnsemble,
    RenderedModel,
    outline,
    render_ensembles,
    render_model,
)
from tritongen.repository.write_repository import settle
from tritongen.system.paths import LFS_FIX, is_lfs_pointer

# A model has a handful; a link to a whole file system must not be walked to its end.
MAX_FILES = 20_000
# Weights that are not those of the lock.
_CHANGED = "TG706"


def check_repository(
    repository: Path,
    *,
    release: str = "",
    cores: float | None = None,
    gpus: int | None = None,
    autocomplete: bool = True,
    hashes: bool = True,
    models: Path | None = None,
    choice: CodeChoice | None = None,
) -> Sifted:
    """Lint a repository on disk, hand-written ones too.

    Args:
        repository: folder of model folders.
        release: Triton release ``YY.MM``; the lock's, else the default, when empty.
        cores: for the thread rule; the lock's when None.
        gpus: number of GPUs; the lock's when None.
        autocomplete: whether the server may complete configurations.
        hashes: compare the weights with the lock, which reads every byte of them.
        models: folder of the `tritongen.yaml` that says what not to tell; see `stated`.
        choice: over what that file says: its ignores are added to, its selection stands back. None
            leaves out what is ignored, and tells all else.

    Raises:
        InvalidInputError: TG708 it holds no models; TG704 its lock cannot be read; faults of the
            keys of `check` in that file.
    """
    said, ignores = stated(repository, models)
    settle(repository)
    lock = read_lock(repository)
    folders = sorted(
        entry for entry in repository.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not folders:
        raise InvalidInputError("TG708", "it holds no model folders", where=str(repository))
    weights = tuple(_weights(repository, lock, hashes=hashes))
    changed = {item.model for item in weights if item.code == _CHANGED}
    target = find(release or (lock.target.triton if lock is not None else DEFAULT_TRITON))
    context = LintContext(target, cores, gpus, autocomplete)
    linter = Linter(context if lock is None else _locked(context, lock))
    stored = stored_models(repository, lock, target)
    # The folders are read one after the other while they are linted.
    for folder in folders:
        linter.add(_stored_view(folder, stored.get(folder.name), _evidence(folder, lock, changed)))
    found = (*linter.findings(), *weights)
    ignores = (*ignores, *linter.ignores)
    chosen = said.under(choice) if choice is not None else replace(said, select=())
    return sift((*found, *unused(found, ignores)), ignores, chosen)


def _locked(context: LintContext, lock: Lock) -> LintContext:
    """What a lock says of the server where nothing else is said."""
    cores = lock.target.cores if context.cores is None else context.cores
    gpus = lock.target.gpus if context.gpus is None else context.gpus
    known = replace(context, cores=cores, gpus=gpus)
    return _started(known, lock.server.flags, lock.server.environment.items())


def _evidence(folder: Path, lock: Lock | None, changed: Collection[str]) -> ModelEvidence:
    """Of one model; a trial of other bytes than the repository holds says nothing."""
    model = lock.models.get(folder.name) if lock is not None else None
    if model is None:
        return ModelEvidence(())
    return replace(model.evidence, trial=None) if folder.name in changed else model.evidence


def plan_context(plan: ServingPlan, release: Release) -> LintContext:
    """The server that a plan describes, as the linter wants it."""
    server = plan.server
    flags = [(name, value.value) for name, value in server.flags]
    environment = [(name, value.value) for name, value in server.environment]
    return _started(LintContext(release, server.cores.value, server.gpus), flags, environment)


def model_view(item: RenderedModel, trial: Trial | None) -> ModelView:
    """A model folder as it is about to be written, and what its trial has seen."""
    files = {
        f"{version.number}/{ref.target}": ref.size
        for version in item.facts.versions
        for ref in version.files
    }
    files |= {path.partition("/")[2]: len(text.encode()) for path, text in item.files.items()}
    return ModelView(
        name=item.plan.name,
        config=item.text,
        files=files | {ref.target: ref.size for ref in item.facts.beside},
        directories=tuple(str(version.number) for version in item.facts.versions),
        facts=item.facts,
        trial=trial,
    )


def ensemble_view(item: RenderedEnsemble) -> ModelView:
    """A pipeline's folder as it is about to be written."""
    return ModelView(name=item.plan.name, config=item.text, directories=("1",))


def _stored_view(folder: Path, model: StoredModel | None, evidence: ModelEvidence) -> ModelView:
    """One model folder; files that the lock promises count as if `build` had filled them in."""
    promised = [path for path, _ in evidence.files]
    variants = tuple(
        (path.relative_to(folder).as_posix(), _text(path) or "")
        for path in sorted((folder / "configs").glob("*.pbtxt"))
    )
    inside = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    inside |= {path.partition("/")[0] for path in promised}
    return ModelView(
        name=folder.name,
        config=_text(folder / CONFIG_FILE),
        files=dict.fromkeys(promised, 1) | dict(islice(_files(folder), MAX_FILES)),
        directories=tuple(sorted(inside)),
        facts=model.facts if model is not None else None,
        variants=variants,
        trial=evidence.trial,
    )


def _text(path: Path) -> str | None:
    try:
        return config_text(path)
    except FileNotFoundError:
        return None
    except OSError as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and size of every file below a folder; linked folders are looked into, each once."""
    seen: set[tuple[int, int]] = set()
    for place, directories, names in os.walk(folder, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            directories.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        directories.sort()
        for name in sorted(names):
            path = Path(place, name)
            try:
                size = path.stat().st_size
            except OSError:
                continue  # a link to nowhere is a file that Triton does not find either
            yield path.relative_to(folder).as_posix(), size


def _started(
    context: LintContext, flags: Sequence[tuple[str, str]], environment: Iterable[tuple[str, str]]
) -> LintContext:
    """What the linter knows of a server that is started with these flags and variables."""
    names = {name for name, _ in flags}
    # Resources are written as ``<name>:<count>``.
    pairs = (value.partition(":") for name, value in flags if name == LIMITER_RESOURCE)
    return replace(
        context,
        rate_limiter=is_rate_limited(flags),
        resources=tuple((name, int(count)) for name, _, count in pairs if count.isdigit()),
        cache=CACHE in names,
        environment=tuple(environment),
    )


def _weights(repository: Path, lock: Lock | None, *, hashes: bool) -> Iterator[Finding]:
    """Files that the lock names: absent ones are told, changed ones are errors."""
    for name, model in lock.models.items() if lock is not None else ():
        for relative, sha in model.evidence.files:
            path = f"{name}/{relative}"
            target = repository / path
            if not target.exists():
                yield finding(
                    "TG705", Severity.INFO, "not in the repository yet", model=name, path=path
                )
            elif hashes and file_digest(target) != sha:
                pointer = is_lfs_pointer(target)
                what = "is a Git LFS pointer" if pointer else "holds other bytes than the lock says"
                fix = LFS_FIX if pointer else ""
                yield finding(_CHANGED, Severity.ERROR, what, model=name, path=path, fix=fix)


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
    found = not_ignored(linter.findings(), project.intent)
    return Survey(tuple(outlines), texts.ensembles, tuple(differences), found)
