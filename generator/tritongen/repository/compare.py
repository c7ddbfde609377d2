"""The repository on disk against what would be written, whose every difference is.

Hand edits that are overwritten, or whose model is gone, are kept under another name.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import chain, count
from pathlib import Path

from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.intent import WeightsMode
from tritongen.model.lock import Lock
from tritongen.model.lock_files import lock_file_text, lock_files
from tritongen.model.merge_marks import CODE, merge_marks, rebuild
from tritongen.repository.lock_file import placed_here
from tritongen.repository.project import Project
from tritongen.repository.render_repository import digest
from tritongen.repository.write_repository import TextFile
from tritongen.system.paths import lfs_digest, open_regular

_KEPT = re.compile(r"\.orig(\.[0-9]+)?\Z")


class DifferenceKind(StrEnum):
    """What a file on disk is, compared with the plan."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    HAND_EDIT = "hand edit"
    FOREIGN = "not written by tritongen"
    WEIGHTS_ABSENT = "weights absent"
    WEIGHTS_OLD = "weights changed"
    WEIGHTS_FORM = "weights in another form"

    @property
    def is_conflict(self) -> bool:
        """Whether writing would lose something that the tool did not write."""
        return self in {DifferenceKind.HAND_EDIT, DifferenceKind.FOREIGN}

    @property
    def is_drift(self) -> bool:
        """Whether a committed file is not what it should be; weights need not be committed."""
        return self not in {DifferenceKind.WEIGHTS_ABSENT, DifferenceKind.WEIGHTS_FORM}


# A text, or where to get it: the texts of a thousand models need not lie in memory at once.
Text = str | Callable[[], str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not as planned.

    Attributes:
        path: relative to the repository.
        kind: what it is.
        old: text on disk, empty for a new file or for weights.
        new: text planned, empty for a removal or for weights.
    """

    path: str
    kind: DifferenceKind
    old: Text = ""
    new: Text = ""

    @property
    def removes(self) -> bool:
        """Whether nothing is planned in its place."""
        return self.new == ""

    def diff(self) -> Iterator[str]:
        """A unified diff of the text, without line ends."""
        old, new = (text if isinstance(text, str) else text() for text in (self.old, self.new))
        if not old and not new:
            return
        yield from difflib.unified_diff(
            old.splitlines(),
            new.splitlines(),
            f"{self.path} (on disk)",
            f"{self.path} (planned)",
            lineterm="",
        )


def compare(project: Project, texts: Sequence[Difference], lock: Lock) -> tuple[Difference, ...]:
    """Every difference, in the order of their paths.

    Args:
        project: with the repository and its old lock.
        texts: differences of the models' own texts, from `text_differences`.
        lock: to be committed.

    Raises:
        InvalidInputError: TG003, a file of the repository cannot be read.
    """
    differences = [
        *texts,
        *_lock_differences(project, lock),
        *_weights(project, lock),
        *_removals(project, lock),
    ]
    return tuple(sorted(differences, key=lambda item: item.path))


def text_differences(
    project: Project, planned: Mapping[str, str], again: Callable[[str], str]
) -> Iterator[Difference]:
    """Texts that are not on disk as they are planned.

    Args:
        project: with the repository and its old lock.
        planned: text by path.
        again: a path's text once more; the differences keep none.

    Raises:
        InvalidInputError: TG003, a file cannot be read.
    """
    known = project.lock.written if project.lock is not None else {}
    for path, text in planned.items():
        place = project.repository / path
        old = read_text(place)
        if old is None:
            yield Difference(path, DifferenceKind.NEW, "", partial(again, path))
        elif old != text:
            kind = kind_of_change(path, old, known)
            yield Difference(path, kind, partial(_text, place), partial(again, path))


def kind_of_change(path: str, old: str, written: Mapping[str, str]) -> DifferenceKind:
    """What a text is that stands on disk and is not as planned.

    Args:
        path: of the text.
        old: the text on disk.
        written: digests of what the tool wrote before, by path.
    """
    if path not in written:
        return DifferenceKind.FOREIGN
    ours = digest(old.encode("utf-8", "surrogateescape")) == written[path]
    return DifferenceKind.CHANGED if ours else DifferenceKind.HAND_EDIT


def _lock_differences(project: Project, lock: Lock) -> Iterator[Difference]:
    planned = set()
    for path, new in lock_files(lock):
        planned.add(path)
        place = project.repository / path
        old = read_text(place)
        if old != new:
            kind = DifferenceKind.NEW if old is None else DifferenceKind.CHANGED
            again = partial(lock_file_text, lock, path)
            yield Difference(path, kind, partial(_text, place) if old else "", again)
    # Beside a lock in one file they are of another time, and the next build writes them anew.
    for path in project.lock_texts.keys() - planned if lock.in_parts else ():
        yield Difference(path, DifferenceKind.REMOVED, project.lock_texts[path])


def _weights(project: Project, lock: Lock) -> Iterator[Difference]:
    """Model files that are absent or hold other bytes; nothing when weights are left out."""
    old = project.lock.weights if project.lock is not None else {}
    here = placed_here(project.repository)
    for path, sha in lock.weights.items():
        target = project.repository / path
        if not target.exists() or lfs_digest(target) == sha:
            if project.intent.weights is not WeightsMode.NONE:
                yield Difference(path, DifferenceKind.WEIGHTS_ABSENT)
            continue
        found = file_digest(target)
        if found == sha:
            if _in_other_form(target, project.intent.weights):
                yield Difference(path, DifferenceKind.WEIGHTS_FORM)
            continue
        # After a pull the lock is a colleague's, and the weights are those of the last build here.
        ours = found in {old.get(path), here.get(path)} or target.is_symlink()
        yield Difference(path, DifferenceKind.WEIGHTS_OLD if ours else DifferenceKind.FOREIGN)


def _in_other_form(target: Path, mode: WeightsMode) -> bool:
    """Whether a link stands where a file of its own is wanted, or the other way round."""
    if mode is WeightsMode.NONE:
        return False
    return target.is_symlink() is not (mode is WeightsMode.SYMLINK)


def _removals(project: Project, lock: Lock) -> Iterator[Difference]:
    """Files of the old lock that the new one does not have: of models that are gone."""
    if project.lock is None:
        return
    keep = {*lock.written, *lock.weights}
    for path, sha in {**project.lock.written, **project.lock.weights}.items():
        target = project.repository / path
        if path in keep or not os.path.lexists(target):
            continue
        # A link may lead to nothing: the model that it led to is gone, too.
        ours = target.is_symlink() or file_digest(target) == sha
        if path in project.lock.written:
            theirs, text = DifferenceKind.HAND_EDIT, read_text(target) or ""
        else:
            theirs, text = DifferenceKind.FOREIGN, ""
        yield Difference(path, DifferenceKind.REMOVED if ours else theirs, text)


def _text(path: Path) -> str:
    return read_text(path) or ""


def read_text(path: Path) -> str | None:
    """A text as it was written, None where there is no such file.

    Raises:
        InvalidInputError: TG003, it cannot be read or is no regular file.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
            # A checkout may have changed the line ends; that is nobody's edit.
            return text.replace("\r\n", "\n")
    except FileNotFoundError:
        return None
    except OSError as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem


def file_digest(path: Path) -> str:
    """Hexadecimal sha256 of a file.

    Raises:
        InvalidInputError: TG003, it cannot be read or is no regular file.
    """
    import hashlib

    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem


def refuse_conflicts(
    differences: Sequence[Difference], force: bool, repository: Path | None = None
) -> None:
    """Stops before anything is lost that the tool did not write.

    Args:
        differences: all of them.
        force: whether hand edits may be replaced; they are kept under another name.
        repository: that `build` mends after a merge; None for other files.

    Raises:
        InvalidInputError: TG703 a file of somebody else; TG702 a hand edit, unless `force`; TG710
            a file that git could not merge.
    """
    conflicts = [item for item in differences if item.kind.is_conflict]
    foreign = [item for item in conflicts if item.kind is DifferenceKind.FOREIGN]
    if not conflicts or (force and not foreign):
        return
    first = (foreign or conflicts)[0]
    for item in conflicts:
        if unmerged := merge_marks(item.old if isinstance(item.old, str) else item.old()):
            fix = rebuild((repository / item.path).parent) if repository is not None else ""
            raise InvalidInputError(CODE, unmerged, where=item.path, fix=fix)
    what = "was not written by tritongen" if foreign else "was edited by hand"
    raise InvalidInputError(
        "TG703" if foreign else "TG702",
        f"{what}; nothing was changed",
        where=str(first.path),
        details=[line for item in conflicts for line in item.diff()],
    )


def kept_names(folder: Path, edits: Iterable[str], gone: Set[str] = frozenset()) -> dict[str, str]:
    """The name under which each edited file is kept, beside those that were kept before.

    It stays in its folder, or goes to the root where its model is gone: Triton takes a folder
    without a configuration for a model, and does not start because it cannot load it.

    Args:
        folder: of the repository or of exported files.
        edits: paths relative to it; those of files that were kept before, too.
        gone: names of models that are served no more.

    Returns:
        Names by path, both relative to the folder; none is taken yet.
    """
    found: dict[str, str] = {}
    for path in edits:
        base = path if path.partition("/")[0] not in gone else path.replace("/", ".")
        base = base if _KEPT.search(base) else f"{base}.orig"
        names = chain((base,), (f"{base}.{number}" for number in count(1)))
        taken = set(found.values())
        found[path] = next(n for n in names if n not in taken and not (folder / n).exists())
    return found


def kept_texts(folder: Path, names: Mapping[str, str]) -> Iterator[TextFile]:
    """The files under their new names, read one after the other."""
    for path, name in names.items():
        yield TextFile(name, (folder / path).read_bytes())


def kept_before(folder: Path, written: Iterable[str], gone: Set[str]) -> list[str]:
    """Edits that earlier builds have kept in the folders of models that are gone.

    Args:
        folder: of the repository.
        written: paths of the texts that the tool wrote.
        gone: names of models that are served no more.
    """
    found = []
    for path in sorted(written):
        if path.partition("/")[0] not in gone:
            continue
        place = folder / path
        siblings = sorted(place.parent.iterdir()) if place.parent.is_dir() else []
        for other in siblings:
            rest = other.name.removeprefix(place.name)
            if other.name != rest and _KEPT.fullmatch(rest) and other.is_file():
                found.append(other.relative_to(folder).as_posix())
    return found
