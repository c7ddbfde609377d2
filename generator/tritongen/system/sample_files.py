"""Files of a user's with real tensors, each read once: what is hashed is what is used."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tritongen.errors import InvalidInputError, describe_error
from tritongen.system.paths import contained, read_head

T = TypeVar("T")

# Of a data file, which is read into memory as a whole. Chosen.
MAX_BYTES = 4 * 1024**3
# Of a model's samples in tritongen.yaml, which every build reads and hashes. Chosen.
_MAX_SAMPLE_BYTES = 256 * 1024**2
_MAX_FILES = 64
_MAX_MATCHES = 200_000
SUFFIXES = (".npz", ".npy", ".json")
_FIX = (
    "Give .npz or .npy with the inputs' names, or JSON such as "
    '{"data": [{"INPUT": {"content": [1, 2], "shape": [2]}}]}.'
)


@dataclass(frozen=True, slots=True)
class SampleFile:
    """One file.

    Attributes:
        path: as messages name it.
        content: its bytes.
        tensor: the input or output that it holds, empty where it says so itself.
    """

    path: str
    content: bytes = field(repr=False)
    tensor: str = ""

    def fault(self, what: str) -> InvalidInputError:
        """What is wrong with it."""
        return InvalidInputError("TG906", what, where=self.path, fix=_FIX)


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """Files in their order; of more than are used, `found` is the number."""

    files: tuple[SampleFile, ...]
    found: int

    @property
    def sha256(self) -> str:
        """Of what the files hold."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.tensor}\0{len(file.content)}\0".encode())
            digest.update(file.content)
        return digest.hexdigest()


def spread(items: Sequence[T], most: int) -> Sequence[T]:
    """So many of them at even distances, the same ones each time."""
    count = len(items)
    return items if count <= most else [items[index * count // most] for index in range(most)]


def find_samples(folder: Path, named: Mapping[str, str]) -> SampleFiles:
    """The files that `samples` in tritongen.yaml names.

    Args:
        folder: of that file; nothing outside of it is read.
        named: file, folder or glob by tensor, by "" where the files name their tensors.

    Raises:
        InvalidInputError: TG906, nothing is there, it leads out of the folder, or is too much.
    """
    files: list[SampleFile] = []
    found = size = 0
    for tensor, pattern in named.items():
        matches = _matches(folder.resolve(), pattern, any_suffix=bool(tensor))
        found += len(matches)
        for path in spread(matches, _MAX_FILES):
            shown = (folder / path.relative_to(folder.resolve())).as_posix()
            try:
                inside = contained(folder.resolve(), path) is not None
                content = read_head(path, _MAX_SAMPLE_BYTES + 1 - size) if inside else b""
            except (OSError, ValueError) as fault:
                what = f"cannot be read: {describe_error(fault)}"
                raise InvalidInputError("TG906", what, where=shown) from None
            size += len(content)
            if not inside or size > _MAX_SAMPLE_BYTES:
                what = "the samples hold more than 256 MiB" if inside else _outside(pattern)
                raise InvalidInputError("TG906", what, where=shown, fix="Give fewer, or copy them.")
            files.append(SampleFile(shown, content, tensor))
    return SampleFiles(tuple(files), found)


def _outside(pattern: str) -> str:
    return f"{pattern} leads out of the folder of tritongen.yaml"


def _matches(base: Path, pattern: str, *, any_suffix: bool) -> list[Path]:
    """The files behind a path, a folder or a glob, in the order of their names."""
    pure = PurePosixPath(pattern)
    if pure.is_absolute() or ".." in pure.parts:
        raise InvalidInputError("TG906", _outside(pattern), where=str(base))
    try:
        if (base / pattern).is_dir():
            pattern = f"{pattern}/*"
        whole = any_suffix or not any(sign in pattern for sign in "*?[")
        every = [base / pattern] if (base / pattern).exists() else base.glob(pattern)
        matches = islice(every, _MAX_MATCHES)
        found = sorted(p for p in matches if (whole or p.suffix in SUFFIXES) and p.is_file())
    except (OSError, ValueError) as fault:
        what = f"{pattern} cannot be looked up: {describe_error(fault)}"
        raise InvalidInputError("TG906", what, where=str(base)) from None
    if not found:
        fix = "Put them there, or correct `samples` in tritongen.yaml."
        raise InvalidInputError("TG906", f"{pattern} matches no file", where=str(base), fix=fix)
    return found


def data_file(path: Path) -> SampleFiles:
    """A file that the command line names.

    Raises:
        InvalidInputError: TG002 or TG906, it cannot be read.
    """
    if not path.is_file():
        what = "is no file" if path.exists() else "there is no such file"
        raise InvalidInputError("TG002", what, where=str(path))
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInputError("TG906", "the file is larger than 4 GiB", where=str(path))
    try:
        return SampleFiles((SampleFile(str(path), path.read_bytes()),), 1)
    except OSError as fault:
        what = f"cannot be read: {describe_error(fault)}"
        raise InvalidInputError("TG906", what, where=str(path)) from None
