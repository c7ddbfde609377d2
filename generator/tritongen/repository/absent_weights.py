"""Models whose files are not here, as without Git LFS: the lock tells what they are."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.lock import Lock, LockedModel
from tritongen.system.paths import contained, is_lfs_pointer, lfs_digest, open_regular

# A model that is known from the lock alone.
ABSENT = "TG711"


def stored_facts(
    found: Sequence[ModelFacts], lock: Lock | None, root: Path
) -> dict[str, ModelFacts]:
    """Facts of the lock for models whose files are not here, by name.

    Git LFS pointers must be those of the files that the lock knows. Where the folder holds no model
    at all, every model of the lock is taken for one that is kept elsewhere.

    Args:
        found: what the folder holds.
        lock: of the repository.
        root: the models folder.
    """
    here = {facts.name: facts for facts in found}
    return {
        name: locked.facts
        for name, locked in (lock.models.items() if lock is not None else ())
        if locked.facts is not None
        and locked.facts.name == name
        and locked.evidence.variant is None
        and (not here or (name in here and _is_pointer(here[name], locked, root)))
    }


def _is_pointer(here: ModelFacts, locked: LockedModel, root: Path) -> bool:
    """Whether a pointer stands in a file's place, and all files are those that the lock knows."""
    facts = locked.facts
    if here.servable or facts is None:
        return False
    digests = {}
    pointers = 0
    try:
        for version in facts.versions:
            for ref in version.files:
                path = contained(root.resolve(), root / ref.source)
                if path is None:
                    return False
                pointers += is_lfs_pointer(path)
                digests[f"{version.number}/{ref.target}"] = lfs_digest(path) or _digest(path)
    except (OSError, ValueError):
        return False
    return pointers > 0 and digests.items() <= dict(locked.evidence.files).items()


def _digest(path: Path) -> str:
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def absence(name: str) -> Finding:
    """That a model is planned from the lock alone."""
    message = "its files are not here; what the lock holds of them counts"
    return finding(ABSENT, Severity.INFO, message, model=name)
