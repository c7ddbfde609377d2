"""What is given to the API: folders, files and numbers, checked before the work."""

import os
from collections.abc import Collection
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError

StrPath = str | os.PathLike[str]
DEFAULT_REPOSITORY = Path("model_repository")


def models_path(models: StrPath | None, repository: Path) -> Path:
    """The models folder or model file that is named, or that the repository was built from.

    Raises:
        InvalidInputError: TG002, there is no such thing, or none is known.
    """
    from tritongen.repository.project import last_models

    found = Path(models) if models is not None else last_models(repository)
    return found if found.is_file() else existing_folder(found)


def existing_folder(path: Path) -> Path:
    """The path when it is a folder.

    Raises:
        InvalidInputError: TG002, it is not.
    """
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise InvalidInputError("TG002", what, where=str(path))
    return path


def writable_file(path: Path) -> Path:
    """The path when a file can be written there: told before the work, not after it.

    Raises:
        EnvironmentProblem: TG004, it is a folder, or its own folder is missing or closed.
    """
    what = ""
    if path.is_dir():
        what = "is a folder"
    elif not path.parent.is_dir():
        what = "its folder is a file" if path.parent.exists() else "there is no such folder"
    elif not path.exists() and not os.access(path.parent, os.W_OK | os.X_OK):
        what = "permission denied"
    if what:
        raise EnvironmentProblem("TG004", f"cannot be written: {what}", where=str(path))
    return path


def refuse_unless_positive(**numbers: float | None) -> None:
    """Numbers that must be finite and above 0 where they are given.

    Raises:
        InvalidInputError: TG009, one is not.
    """
    for name, value in numbers.items():
        if value is not None and not 0 < value < float("inf"):
            raise InvalidInputError("TG009", f"must be a number above 0, got {value!r}", where=name)


def refuse_other(name: str, value: str, known: Collection[str]) -> None:
    """A word that must be one of those known.

    Raises:
        InvalidInputError: TG009, it is another.
    """
    if value not in known:
        fix = f"Use one of {', '.join(known)}."
        raise InvalidInputError("TG009", f"there is no {value!r}", where=name, fix=fix)
