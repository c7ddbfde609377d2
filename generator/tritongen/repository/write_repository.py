"""Writing a model repository so that it is always whole.

New files are staged beside their targets and made durable first; then a journal that names every
rename is written; then the renames are done, the lock's last. Killed before the journal, the old
repository is intact. Killed after it, `recover` finishes the renames, and every command that reads
a repository calls it first. Triton ignores files in the repository's root and extra files in a
model's folder, so staged files disturb nothing.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem, InvalidInputError, describe_error
from tritongen.model.codec import decode, parse_json, text_of
from tritongen.system.files import FileLock, remove_leftovers, translated, write_atomic
from tritongen.system.own_files import read_own
from tritongen.system.user_cache import folder_lock

if TYPE_CHECKING:
    # `up` loads this module to finish a build that was killed, and has no use for what a user says.
    from tritongen.model.intent import WeightsMode

JOURNAL = ".tritongen.journal"
# Seconds that a reader waits for a build to finish its renames; they take milliseconds.
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text to write; `path` is relative to the repository."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A model file to place; `path` is relative to the repository."""

    path: str
    source: Path
    mode: "WeightsMode"


@dataclass(frozen=True, slots=True)
class RepositoryChange:
    """Everything that one build changes.

    Attributes:
        texts: files to write, the lock's last; read once, each is forgotten when it is staged.
        weights: files to place.
        removals: files to remove, relative to the repository.
    """

    texts: Iterable[TextFile] = ()
    weights: tuple[WeightFile, ...] = ()
    removals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Journal:
    """What remains to be done: (staged, final) renames and removals, in the repository's terms."""

    renames: tuple[tuple[str, str], ...]
    removals: tuple[str, ...] = ()


def build_lock(repository: Path, *, timeout: float = 0.0) -> FileLock:
    """The lock that one build of a repository holds.

    Args:
        repository: it need not exist.
        timeout: seconds to wait for another build.

    Raises:
        EnvironmentProblem: as `folder_lock`; TG008 on entry.
    """
    return folder_lock(repository, f"building {repository}", timeout=timeout)


def refuse_file_in_the_way(folder: Path) -> None:
    """A file where a folder is to be written, or where one above it would be.

    Raises:
        InvalidInputError: TG002, it names the file.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise InvalidInputError("TG002", "is not a folder", where=str(place))


def settle(repository: Path) -> bool:
    """`recover` for those who only read: waits for a build that is renaming right now.

    Raises:
        EnvironmentProblem: TG008 when that build does not end; TG004, TG005 as `recover`.
    """
    if not (repository / JOURNAL).exists():
        return False
    with build_lock(repository, timeout=_PATIENCE):
        return recover(repository)


def recover(repository: Path) -> bool:
    """Finish the renames of a build that was killed; True when there was something to finish.

    Hold `build_lock` meanwhile.

    Raises:
        EnvironmentProblem: TG004, TG005 when the repository cannot be written; TG011, the journal
            is no plain file of this user.
    """
    journal = repository / JOURNAL
    try:
        entries = decode(_Journal, parse_json(read_own(journal)))
    except (FileNotFoundError, NotADirectoryError):
        return False  # a file in the folder's place is told by who writes there
    except (OSError, ValueError) as problem:
        what = f"the journal of a killed build cannot be read: {describe_error(problem)}"
        raise EnvironmentProblem("TG004", what, where=str(journal)) from problem
    for path in (*entries.removals, *chain.from_iterable(entries.renames)):
        _refuse_leaving(repository, path)
    _commit(repository, entries.renames, entries.removals)
    return True


def apply_change(repository: Path, change: RepositoryChange) -> None:
    """Make one change to a repository, wholly or not at all; hold `build_lock` meanwhile.

    Raises:
        EnvironmentProblem: TG003 unreadable source, TG004 unwritable target, TG005 full disk; the
            repository is as it was.
    """
    staged: list[tuple[str, str]] = []
    folders: list[Path] = []
    try:
        _make(repository, folders)
        for weight in change.weights:
            staged.append(_stage(repository, weight.path, folders))
            _place(weight, repository / staged[-1][0])
        for text in change.texts:
            staged.append(_stage(repository, text.path, folders))
            write_atomic(repository / staged[-1][0], text.data)
        journal = text_of(_Journal(tuple(staged), change.removals), ascii_only=True)
        write_atomic(repository / JOURNAL, journal.encode())
    except BaseException:
        _undo(repository, staged, folders)
        raise
    _commit(repository, staged, change.removals)


def tidy(repository: Path) -> None:
    """Remove staged files of builds that died before their journal was written."""
    for folder, _, names in os.walk(repository):
        if any(name.startswith(".tritongen-") for name in names):
            remove_leftovers(Path(folder))


def _stage(repository: Path, path: str, folders: list[Path]) -> tuple[str, str]:
    """A staging name beside the target, and the target; missing folders are made and noted."""
    target = PurePosixPath(path)
    staged = target.with_name(f".tritongen-{os.getpid()}-{target.name}.tmp")
    _make(repository / target.parent, folders)
    return str(staged), path


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note each one that was missing."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    made.extend(reversed(missing))


def _undo(repository: Path, staged: Sequence[tuple[str, str]], folders: Sequence[Path]) -> None:
    for name, _ in staged:
        (repository / name).unlink(missing_ok=True)
    for folder in reversed(folders):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _place(weight: WeightFile, staged: Path) -> None:
    from tritongen.model.intent import WeightsMode

    if not os.access(weight.source, os.R_OK):
        raise EnvironmentProblem("TG003", "cannot be read", where=str(weight.source))
    with translated(staged):
        if weight.mode is WeightsMode.SYMLINK:
            staged.symlink_to(os.path.relpath(weight.source.resolve(), staged.parent.resolve()))
            return
        if weight.mode is WeightsMode.HARDLINK:
            try:
                os.link(weight.source.resolve(), staged)
            except OSError:
                pass  # another file system, or one without links: a copy serves as well
            else:
                return
        with weight.source.open("rb") as reader, staged.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())


def _commit(repository: Path, renames: Sequence[tuple[str, str]], removals: Sequence[str]) -> None:
    with translated(repository):
        for path in removals:
            target = repository / path
            target.unlink(missing_ok=True)
            _prune(target.parent, repository)
        for staged, final in renames:
            # Already renamed when a killed build is finished a second time.
            if os.path.lexists(repository / staged):
                (repository / staged).replace(repository / final)
        (repository / JOURNAL).unlink(missing_ok=True)


def _refuse_leaving(repository: Path, path: str) -> None:
    """A journal may come from a stranger's clone, with links for folders beside it."""
    pure = PurePosixPath(path)
    stays = pure.parts and not pure.is_absolute() and ".." not in pure.parts
    folder = (repository / pure.parent).resolve()
    if not stays or not folder.is_relative_to(repository.resolve()):
        raise EnvironmentProblem(
            "TG004",
            f"the journal of a killed build names {path!r}, outside the repository",
            fix=f"Delete {JOURNAL} and build again.",
        )


def _prune(folder: Path, stop: Path) -> None:
    """Remove folders that became empty, up to the repository."""
    while folder != stop and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
