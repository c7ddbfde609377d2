"""What git should know of a project: what is not committed, and what is not merged line by line."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.model.lock import LOCK_FILE
from tritongen.repository.compare import read_text
from tritongen.repository.lock_file import CONFIG_FILE
from tritongen.repository.remembered import STATE_FOLDER
from tritongen.system.files import write_atomic

_IGNORE, _ATTRIBUTES = ".gitignore", ".gitattributes"
_GENERATED = "text eol=lf linguist-generated"
_LFS = "filter=lfs diff=lfs merge=lfs -text"
# What a pattern of git takes as it stands.
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_WEIGHTS = re.compile(r"\.(?!(?:json|py|pbtxt|txt|xml|ya?ml)\Z)[A-Za-z0-9_]+")


def git_lines(
    models: Path, repository: Path, suffixes: Collection[str], *, lfs: bool
) -> Mapping[str, Sequence[str]]:
    """The lines that git's files should have, by file.

    Args:
        models: folder of models, below the folder that git's files lie in.
        repository: of the same project, below it, too.
        suffixes: of weights.
        lfs: whether Git LFS keeps weights; else they are never merged.

    Raises:
        InvalidInputError: TG009, a folder is not below this one.
    """
    root, weights = _below(repository), _below(models)
    named, kept = filter(_WEIGHTS.fullmatch, suffixes), _LFS if lfs else "binary"
    return {
        _IGNORE: [
            "# tritongen: what is remembered on this machine, and weights that `build` fills in",
            f"{STATE_FOLDER}*",
            f"/{root}*/[0-9]*/*",
            f"!/{root}*/[0-9]*/.keep",
        ],
        _ATTRIBUTES: [
            "# tritongen: generated texts, and weights",
            f"/{root}**/{CONFIG_FILE} {_GENERATED}",
            f"/{root}**/*{LOCK_FILE} {_GENERATED}",
            *(f"/{weights}**/*{suffix} {kept}" for suffix in sorted(named)),
        ],
    }


def _below(folder: Path) -> str:
    """A folder as a pattern's beginning; empty for this one."""
    path = Path(os.path.relpath(folder)).as_posix()
    if path.split("/")[0] == ".." or not _PLAIN.fullmatch(path):
        raise InvalidInputError(
            "TG009",
            "git's files lie in this folder; this is not below it, or no pattern can name it",
            where=str(folder),
            fix="Run `tritongen init --git` in the folder that holds both.",
        )
    return "" if path == "." else f"{path}/"


def add_git_lines(lines: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Add the lines that are missing, and yield the names of the files that have changed.

    Raises:
        InvalidInputError: TG003, a file cannot be read.
        EnvironmentProblem: TG004 or TG005, one cannot be written.
    """
    for name, wanted in lines.items():
        text = read_text(Path(name)) or ""
        known = text.splitlines()
        missing = [line for line in wanted if line not in known]
        if missing:
            gap = "\n" if text and not text.endswith("\n") else ""
            whole = text + gap + "".join(f"{line}\n" for line in missing)
            write_atomic(Path(name), whole.encode("utf-8", "surrogateescape"))
            yield name
