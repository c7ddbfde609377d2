"""The models of a repository on disk, whether their files lie in it or are linked into it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.formats import CandidateVersion, ModelCandidate, inspect_folder, inspect_model
from tritongen.model.facts import ModelFacts
from tritongen.model.lock import Lock, LockedModel
from tritongen.model.releases import Release
from tritongen.repository.compare import file_digest


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of a repository.

    Attributes:
        facts: their paths are relative to `root`.
        root: the repository, or the folder that the model's links lead to.
        folder: the model's, in the repository.
    """

    facts: ModelFacts
    root: Path
    folder: Path

    @property
    def mains(self) -> Mapping[int, Path]:
        """Main file of every version that can be read, ascending."""
        return {
            version.number: self.root / version.files[0].source
            for version in self.facts.versions
            if version.files
        }


def stored_models(
    repository: Path, lock: Lock | None, release: Release
) -> Mapping[str, StoredModel]:
    """Every model in a repository that inspection knows, by name.

    A link that leaves the repository is followed only where the lock names the file and its bytes
    are those that the lock names: `tritongen build --weights symlink` made it.

    Raises:
        InvalidInputError: the repository cannot be read.
    """
    try:
        inspection = inspect_folder(repository, release)
    except InvalidInputError as problem:
        if problem.code != "TG101":
            raise
        return {}
    return {facts.name: _stored(facts, repository, lock, release) for facts in inspection.models}


def _stored(
    facts: ModelFacts, repository: Path, lock: Lock | None, release: Release
) -> StoredModel:
    locked = lock.models.get(facts.name) if lock is not None else None
    outside = any(item.code == "TG107" for item in facts.findings)
    if locked is not None and outside and _as_locked(repository / facts.name, locked):
        return _linked(repository / facts.name, locked, release)
    return StoredModel(facts, repository, repository / facts.name)


def _as_locked(folder: Path, locked: LockedModel) -> bool:
    files = locked.evidence.files
    return bool(files) and all(
        (folder / relative).is_file() and file_digest(folder / relative) == sha
        for relative, sha in files
    )


def _linked(folder: Path, locked: LockedModel, release: Release) -> StoredModel:
    """The model behind its links; the main file of a version is the first that the lock names."""
    mains: dict[int, Path] = {}
    for relative, _ in locked.evidence.files:
        version = relative.partition("/")[0]
        if version.isdecimal():  # else it lies beside the versions
            mains.setdefault(int(version), (folder / relative).resolve())
    root = Path(os.path.commonpath([path.parent for path in mains.values()]))
    versions = tuple(
        CandidateVersion(number, path.relative_to(root).as_posix(), locked.format)
        for number, path in sorted(mains.items())
    )
    candidate = ModelCandidate(folder.name, folder.name, locked.format, versions)
    facts = inspect_model(root, candidate, release)
    return StoredModel(replace(facts, path=folder.name), root, folder)
