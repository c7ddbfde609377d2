"""A repository's lock, read without what inspects or lints, for which `up` need not wait."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen import __version__
from tritongen.errors import InvalidInputError, describe_error
from tritongen.repository.remembered import remember, remembered
from tritongen.repository.write_repository import RepositoryChange, TextFile, settle
from tritongen.system.paths import read_head

if TYPE_CHECKING:
    from tritongen.model.lock import Lock

CONFIG_FILE = "config.pbtxt"
LOCK_FILE = "tritongen.lock"
# A configuration beyond this is refused by the linter; no more of it needs to be read.
CONFIG_LIMIT = 8 << 20
# Of a lock, and of a text that was written with it. Chosen: that of 10,000 models has 50 MB.
_MAX_BYTES = 256 << 20
_LINTED, _PLACED = "linted.json", "placed.json"
# As written into locks.
TOOL = f"tritongen {__version__}"


def read_lock(repository: Path) -> "Lock | None":
    """The lock of a repository, None when it has none.

    Raises:
        InvalidInputError: TG704 when it cannot be read, TG710 when git could not merge it.
        EnvironmentProblem: as `settle`.
    """
    return parsed_lock(lock_texts(repository), repository)


def lock_texts(repository: Path) -> Mapping[str, str]:
    """The texts of a lock's files, by path relative to the repository; none when it has no lock.

    All are of one build: each renames the repository's own last.

    Raises:
        InvalidInputError: TG704 when one cannot be read, or is no regular file.
        EnvironmentProblem: as `settle`.
    """
    while (before := _stamp(repository / LOCK_FILE)) is not None:
        texts = {
            path: text
            for path in (*_part_paths(repository), LOCK_FILE)
            if (text := _text(repository / path)) is not None
        }
        if not settle(repository) and _stamp(repository / LOCK_FILE) == before:
            return texts
    return {}


def _stamp(path: Path) -> tuple[int, int] | None:
    """Another one for every file that is put in a path's place; None where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _part_paths(repository: Path) -> Iterator[str]:
    """Where locks of single models may lie."""
    try:
        entries = sorted(os.scandir(repository), key=lambda entry: entry.name)
    except OSError as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG704", what, where=str(repository)) from problem
    for entry in entries:
        if entry.name.endswith(f".{LOCK_FILE}"):
            yield entry.name
        elif not entry.name.startswith(".") and entry.is_dir():
            yield f"{entry.name}/{LOCK_FILE}"


def _text(path: Path) -> str | None:
    try:
        # A checkout may have changed the line ends.
        return read_head(path, _MAX_BYTES).decode("utf-8").replace("\r\n", "\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG704", what, where=str(path)) from problem


def config_text(path: Path) -> str:
    """The text of a model's configuration, which may be anybody's.

    Raises:
        OSError: there is none, it cannot be read, or is no regular file.
    """
    return read_head(path, CONFIG_LIMIT).decode("utf-8", "replace")


def parsed_lock(texts: Mapping[str, str], repository: Path) -> "Lock | None":
    """The lock of its texts.

    Raises:
        InvalidInputError: TG704, TG710.
    """
    if LOCK_FILE not in texts:
        return None
    # All that a lock can hold takes longer to load than the rest of `up`.
    from tritongen.model.lock_files import parse_lock_files

    return parse_lock_files(texts, repository)


def lock_change(old: Mapping[str, str], lock: "Lock") -> RepositoryChange:
    """What puts a lock in the place of another.

    Args:
        old: texts of the lock that is there, by path.
        lock: the new one.
    """
    from tritongen.model.lock_files import lock_files

    planned = dict(lock_files(lock))
    # The repository's own goes last, also where it stays the same: `lock_texts` looks at it.
    changed = [path for path in planned if path == LOCK_FILE or planned[path] != old.get(path)]
    return RepositoryChange(
        texts=[TextFile(path, planned[path].encode()) for path in changed],
        removals=tuple(sorted(old.keys() - planned.keys())),
    )


def is_of_lock(path: str) -> bool:
    """Whether a path of a repository is one of its lock's files."""
    return path.rpartition("/")[2].endswith(LOCK_FILE)


def as_built(repository: Path, lock: "Lock | None", names: Sequence[str]) -> bool:
    """Whether every text file is, byte for byte, what this version of the tool linted together.

    Args:
        repository: folder of models.
        lock: of the repository.
        names: of its models; others than those of the lock are not as built.
    """
    if lock is None or not _texts_are_locked(repository, lock, names):
        return False
    # In one file it was written by one build; parts may have come together in a merge.
    return _is_linted(repository, lock) if lock.in_parts else lock.tool == TOOL


def note_linted(repository: Path, lock: "Lock | None", names: Sequence[str]) -> None:
    """Remember here that the texts have no errors together, where they are those of the lock."""
    if lock is not None and _texts_are_locked(repository, lock, names):
        remember(_LINTED, {os.path.relpath(repository): _digest(lock)})


def note_placed(repository: Path, lock: "Lock") -> None:
    """Remember here which weights were placed: git does not replace what it ignores."""
    base = os.path.relpath(repository)
    remember(_PLACED, {f"{base}/{path}": sha for path, sha in lock.weights.items()})


def placed_here(repository: Path) -> Mapping[str, str]:
    """Digests of the weights that were placed last on this machine, by path in the repository."""
    base = f"{os.path.relpath(repository)}/"
    known = remembered(_PLACED)
    return {path.removeprefix(base): sha for path, sha in known.items() if path.startswith(base)}


def _is_linted(repository: Path, lock: "Lock") -> bool:
    return remembered(_LINTED).get(os.path.relpath(repository)) == _digest(lock)


def _digest(lock: "Lock") -> str:
    """Of all texts, of the server that they were written for, and of who linted them."""
    from tritongen.model.codec import text_of

    content = text_of((TOOL, lock.written, lock.server, lock.target))
    return hashlib.sha256(content.encode()).hexdigest()


def _texts_are_locked(repository: Path, lock: "Lock", names: Sequence[str]) -> bool:
    if set(names) != lock.folders:
        return False
    try:
        return all(
            hashlib.sha256(read_head(repository / path, _MAX_BYTES)).hexdigest() == sha
            for path, sha in lock.written.items()
        )
    except OSError:
        return False
