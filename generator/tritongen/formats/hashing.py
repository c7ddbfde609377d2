"""Hashes of a model's files, for the lock."""

import hashlib
import os
from collections.abc import MutableMapping
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.model.facts import FileRef, ModelFacts
from tritongen.system.paths import contained, open_regular

# Path relative to the models folder, size in bytes, modification time in nanoseconds.
StatKey = tuple[str, int, int]


def hash_files(
    root: Path, facts: ModelFacts, cache: MutableMapping[StatKey, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """SHA-256 of every file of every version.

    Args:
        root: the models folder that `facts` was read from.
        facts: names the files.
        cache: hashes known for a path, size and time; used, and completed in place.

    Returns:
        (``<version>/<target>``, hexadecimal SHA-256), versions ascending, the main file first;
        then files beside the versions by their target.

    Raises:
        InvalidInputError: TG003, a file cannot be read; TG107, it is no longer inside the folder.
    """
    base = Path(os.path.realpath(root))
    known: MutableMapping[StatKey, str] = {} if cache is None else cache
    versions = (
        (f"{version.number}/{ref.target}", _digest(base, ref, known))
        for version in facts.versions
        for ref in version.files
    )
    return (*versions, *((ref.target, _digest(base, ref, known)) for ref in facts.beside))


def _digest(base: Path, ref: FileRef, known: MutableMapping[StatKey, str]) -> str:
    try:
        path = contained(base, base / ref.source)
        if path is None:
            raise InvalidInputError(
                "TG107", "the file is a link out of the folder", where=ref.source
            )
        with os.fdopen(open_regular(path), "rb") as file:
            status = os.fstat(file.fileno())
            key = (ref.source, status.st_size, status.st_mtime_ns)
            if key not in known:
                known[key] = hashlib.file_digest(file, "sha256").hexdigest()
            return known[key]
    except OSError as error:
        raise InvalidInputError(
            "TG003", f"the file cannot be read: {error.strerror or error}", where=ref.source
        ) from error
