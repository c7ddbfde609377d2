"""Variants on disk: kept beside the models in a hidden folder, found again, and put in place.

``<models>/.variants/<model>/<variant>/`` holds the model file, its data files, ``labels.txt`` for
a classifier, and ``variant.json`` with recipe and proof. Inspection passes hidden folders by.
"""

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tritongen.errors import InvalidInputError, describe_error
from tritongen.formats import CandidateVersion, ModelCandidate, hash_files, inspect_model
from tritongen.model.codec import decode, parse_json, text_of
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import ClientChange, DeclaredTensor, Intent
from tritongen.model.variants import (
    FIXED,
    LABELS_FILE,
    ORIGINAL,
    RECORD_FILE,
    REFUSED_FILE,
    VARIANTS_FOLDER,
    Variant,
)
from tritongen.repository.compare import file_digest
from tritongen.repository.project import Project, model_named
from tritongen.system.files import translated, write_atomic
from tritongen.system.paths import LFS_FIX, is_lfs_pointer, read_head
from tritongen.system.process_files import exists

# Chosen: a record with its proofs has kilobytes.
_MAX_RECORD_BYTES = 16 << 20
# That a fix is served which nobody asked for.
FIX_TAKEN = "TG243"
LAYOUT_MOVED = "TG245"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_STAGING = re.compile(r"\.staging-(\d+)-.*")


def new_staging(root: Path, label: str) -> Path:
    """A fresh folder on the models' own file system; those of dead runs are removed.

    Raises:
        EnvironmentProblem: TG004 or TG005, the models folder cannot be written.
    """
    base = root / VARIANTS_FOLDER
    with translated(base):
        base.mkdir(exist_ok=True)
        for entry in sorted(base.glob(".staging-*")):
            match = _STAGING.fullmatch(entry.name)
            if match and not exists(int(match[1])):
                shutil.rmtree(entry, ignore_errors=True)
        folder = base / f".staging-{os.getpid()}-{label}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return folder


def keep_variant(root: Path, work: Path, files: Sequence[str], variant: Variant) -> Variant:
    """Move a finished variant to its place in one step; an older one of its name is replaced.

    Args:
        root: the models folder.
        work: where its files lie, on the same file system.
        files: relative to `work`, the main file first.
        variant: its record, without what only the files tell.

    Returns:
        The record with path, hashes and size.

    Raises:
        EnvironmentProblem: TG004 or TG005, the disk; an older variant is as it was.
    """
    staged = work / "kept"
    place = root / variant.folder
    with translated(place):
        staged.mkdir()
        for name in files:
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (work / name).replace(target)
        if variant.labels:
            text = "".join(f"{label}\n" for label in variant.labels)
            (staged / LABELS_FILE).write_text(text, encoding="utf-8")
        hashes = tuple((name, file_digest(staged / name)) for name in files)
        size = sum((staged / name).stat().st_size for name in files)
        full = replace(variant, path=f"{variant.folder}/{files[0]}", files=hashes, size_bytes=size)
        record = text_of(full, indent=1)
        (staged / RECORD_FILE).write_text(f"{record}\n", encoding="utf-8")
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            place.replace(work / "replaced")
        staged.replace(place)
    return full


def drop_variant(root: Path, model: str, name: str) -> None:
    """Remove a variant that did not pass, so that an older one of its name is not taken for it.

    Raises:
        EnvironmentProblem: TG004, the folder cannot be written.
    """
    place = root / VARIANTS_FOLDER / model / name
    with translated(place):
        if place.is_dir():
            shutil.rmtree(place)


def note_refused(root: Path, variant: Variant) -> None:
    """Remember the verdict on a variant whose files are not kept, in the place of its files.

    Raises:
        EnvironmentProblem: TG004 or TG005, the folder cannot be written.
    """
    place = root / variant.folder
    with translated(place):
        place.mkdir(parents=True, exist_ok=True)
    write_atomic(place / REFUSED_FILE, f"{text_of(variant, indent=1)}\n".encode())


def judged_variants(root: Path, model: str) -> tuple[Variant, ...]:
    """Every variant that was judged, those included whose files were not kept, by name.

    Raises:
        InvalidInputError: TG242, a record cannot be read.
    """
    folder = root / VARIANTS_FOLDER / model
    refused = (_read(path) for path in folder.glob(f"*/{REFUSED_FILE}"))
    return tuple(sorted((*read_variants(root, model), *refused), key=lambda one: one.name))


def read_variants(root: Path, model: str) -> tuple[Variant, ...]:
    """Every variant of a model that is kept, by name.

    Raises:
        InvalidInputError: TG242, a record cannot be read.
    """
    folder = root / VARIANTS_FOLDER / model
    records = sorted(folder.glob(f"*/{RECORD_FILE}")) if folder.is_dir() else []
    return tuple(_read(path) for path in records)


def _read(path: Path) -> Variant:
    try:
        return decode(Variant, parse_json(read_head(path, _MAX_RECORD_BYTES)))
    except (OSError, ValueError) as problem:
        raise InvalidInputError(
            "TG242", f"the record cannot be read: {describe_error(problem)}", where=str(path)
        ) from problem


def with_variants(project: Project, selection: Mapping[str, str]) -> Project:
    """The project with variants in the place of their originals.

    The names, and thus the repository's folders, stay those of the models; files and facts are the
    variants'. Nothing else of a build needs to know.

    Args:
        project: as loaded.
        selection: variant by model.

    Raises:
        InvalidInputError: TG240 there is no such variant, TG241 the original has changed since,
            TG242 its files are not those that were proven.
    """
    originals = tuple(project.originals.get(facts.name, facts) for facts in project.models)
    variants = {
        facts.name: find_variant(project, facts, selection[facts.name])
        for facts in originals
        if facts.name in selection
    }
    models = tuple(
        replace(variant_facts(project, facts, variants[facts.name].path), beside=facts.beside)
        if facts.name in variants
        else facts
        for facts in originals
    )
    return replace(
        project,
        models=models,
        intent=_renamed(project.intent, variants, models),
        variants=variants,
        originals={facts.name: facts for facts in originals if facts.name in variants},
    )


def with_selection(project: Project, wanted: Mapping[str, str] | None = None) -> Project:
    """The project with the variants that are wanted, else those that it has or its lock names.

    Of the other models, one that cannot be served is taken as it was fixed; a finding says so, or
    says why it is not.

    Args:
        project: as loaded.
        wanted: variant by model; `ORIGINAL` for the model as it is.

    Raises:
        InvalidInputError: TG306 there is no such model; TG240, TG241, TG242 as `with_variants`.
    """
    for name in sorted(wanted or {}):
        model_named(name, project.models, project.root)
    names = {facts.name for facts in project.models}
    locked = project.lock.evidence.models if project.lock is not None else {}
    served = {
        name: known.variant.name
        for name, known in locked.items()
        if known.variant is not None and name in names
    }
    present = {name: variant.name for name, variant in project.variants.items()}
    selection = served | present | dict(wanted or {})
    remarks = tuple(_fixes(project, selection))
    selection |= {item.model: FIXED for item in remarks if item.code == FIX_TAKEN}
    chosen = with_variants(
        project, {model: name for model, name in selection.items() if name != ORIGINAL}
    )
    moved = tuple(
        finding(
            LAYOUT_MOVED, Severity.INFO, f"clients send or read another layout: {what}", model=name
        )
        for name, variant in chosen.variants.items()
        for what in variant.moved
    )
    return replace(chosen, findings=tuple(dict.fromkeys((*chosen.findings, *remarks, *moved))))


def _fixes(project: Project, decided: Collection[str]) -> Iterator[Finding]:
    """On every fixed variant beside a model that cannot be served and that nobody decided on."""
    for facts in project.models:
        faults = {item.code for item in facts.findings if item.severity is Severity.ERROR}
        if not faults or facts.name in decided or not project.intent.of(facts.name).serve:
            continue
        try:
            variant = find_variant(project, facts, FIXED)
        except InvalidInputError as problem:
            if problem.code != "TG240":
                message = f"its fixed variant is not served: {problem.what}"
                yield finding(problem.code, Severity.WARNING, message, model=facts.name)
            continue
        if faults <= variant.cured:
            yield _fix(project, variant, faults)


def _fix(project: Project, variant: Variant, faults: Collection[str]) -> Finding:
    """That a fix is served, or that the user must say so since clients would have to change."""
    codes = ", ".join(sorted(faults))
    if (question := layout_question(project, variant)) is not None:
        return question
    message = f"its fixed variant is served, since the original cannot be: {codes}"
    return finding(FIX_TAKEN, Severity.INFO, message, model=variant.model)


def layout_question(project: Project, variant: Variant) -> Finding | None:
    """That clients would have to change for a variant, unless the user accepts that."""
    if not variant.moved or project.intent.of(variant.model).accept is ClientChange.LAYOUT:
        return None
    command = f"tritongen build {project.root} --variant {variant.model}={variant.name}"
    return finding(
        "TG244",
        Severity.WARNING,
        f"its {variant.name} variant could be served, but clients would have to send or read "
        f"another layout: {', '.join(variant.moved)}",
        fix=f"To serve it: `{command}`, or `accept: layout` for it in tritongen.yaml.",
        model=variant.model,
    )


def _renamed(
    intent: Intent, variants: Mapping[str, Variant], models: Sequence[ModelFacts]
) -> Intent:
    """What the user declares, under the names that the variants' inputs and outputs have."""
    declared = dict(intent.models)
    for facts in models:
        if facts.name not in variants or facts.name not in declared:
            continue
        steps = variants[facts.name].steps
        names = {old: new for step in steps for old, new in step.renamed.items()}
        model = declared[facts.name]
        declared[facts.name] = replace(
            model,
            inputs=_under(names, model.inputs, {spec.name for spec in facts.inputs}),
            outputs=_under(names, model.outputs, {spec.name for spec in facts.outputs}),
        )
    return replace(intent, models=declared)


def _under(
    names: Mapping[str, str], declared: Mapping[str, DeclaredTensor], known: set[str]
) -> dict[str, DeclaredTensor]:
    """Declarations by their present names; one that became several tensors is no longer meant."""
    found = {}
    for item in declared.values():
        name = item.name if item.name in known else names.get(item.name, item.name)
        if name in known or item.name not in names:
            found[name] = replace(item, name=name)
    return found


def find_variant(project: Project, facts: ModelFacts, name: str) -> Variant:
    """The record of one variant, checked against its original and its files.

    Raises:
        InvalidInputError: TG240, TG241, TG242, as `with_variants`.
    """
    where = f"{facts.name}: {name}"
    known = {item.name: item for item in read_variants(project.root, facts.name)}
    if not _NAME.fullmatch(name) or name not in known:
        names = ", ".join(known) or "none"
        judged = {item.name: item.reason for item in judged_variants(project.root, facts.name)}
        what = f"it was not kept: {judged[name]}" if name in judged else "there is no such variant"
        raise InvalidInputError("TG240", f"{what}; there are: {names}", where=where)
    variant = known[name]
    sources = [project.root / ref.source for one in facts.versions[-1:] for ref in one.files]
    for path in (
        project.root / facts.path,
        *sources,
        *(project.root / variant.folder / file for file, _ in variant.files),
    ):
        if is_lfs_pointer(path):
            what = f"{path.relative_to(project.root)} is a Git LFS pointer, not the model"
            raise InvalidInputError("TG102", what, where=where, fix=LFS_FIX)
    if variant.sources != source_hashes(project.root, facts):
        raise InvalidInputError("TG241", "the original is not the one it was made of", where=where)
    for file, digest in variant.files:
        path = project.root / variant.folder / file
        if not path.is_file() or file_digest(path) != digest:
            raise InvalidInputError("TG242", f"{file} is not as it was proven", where=where)
    return variant


def source_hashes(root: Path, facts: ModelFacts) -> tuple[tuple[str, str], ...]:
    """Hashes of the version that variants are made of: the last one.

    Raises:
        InvalidInputError: TG003 or TG107, a file cannot be read.
    """
    return hash_files(root, replace(facts, versions=facts.versions[-1:]))


def variant_facts(project: Project, facts: ModelFacts, path: str) -> ModelFacts:
    """What inspection says of a variant, under the model's name.

    Args:
        project: with the models folder and the target release.
        facts: of the original.
        path: the variant's main file, relative to the models folder.
    """
    number = facts.versions[-1].number if facts.versions else 1
    format_ = ModelFormat.OPENVINO if path.endswith(".xml") else ModelFormat.ONNX
    version = CandidateVersion(number, path, format_)
    candidate = ModelCandidate(facts.name, path, format_, (version,))
    return inspect_model(project.root.resolve(), candidate, project.release)
