"""A repository's lock, read without what inspects or lints, for which `up` need not wait."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen import __version__
from tritongen.errors import InvalidInputError, describe_error
from tritongen.system.paths import read_head

if TYPE_CHECKING:
    from tritongen.model.lock import Lock

CONFIG_FILE = "config.pbtxt"
LOCK_FILE = "tritongen.lock"
# A configuration beyond this is refused by the linter; no more of it needs to be read.
CONFIG_LIMIT = 8 << 20
# Of a lock, and of a text that was written with it. Chosen: that of 10,000 models has 50 MB.
_MAX_BYTES = 256 << 20
# As written into locks.
TOOL = f"tritongen {__version__}"


def read_lock(repository: Path) -> "Lock | None":
    """The lock of a repository, None when it has none.

    Raises:
        InvalidInputError: TG704 when it cannot be read.
    """
    return parsed_lock(lock_text(repository), repository)


def lock_text(repository: Path) -> str | None:
    """The text of a repository's lock, None when it has none.

    Raises:
        InvalidInputError: TG704 when it cannot be read, or is no regular file.
    """
    path = repository / LOCK_FILE
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


def parsed_lock(text: str | None, repository: Path) -> "Lock | None":
    """The lock of a text.

    Raises:
        InvalidInputError: TG704.
    """
    if text is None:
        return None
    # All that a lock can hold takes longer to load than the rest of `up`.
    from tritongen.model.lock import parse_lock

    return parse_lock(text, str(repository / LOCK_FILE))


def as_built(repository: Path, lock: "Lock | None", names: Sequence[str]) -> bool:
    """Whether every text file is, byte for byte, what this version of the tool wrote and linted.

    Args:
        repository: folder of models.
        lock: of the repository.
        names: of its models; others than those of the lock are not as built.
    """
    if lock is None or lock.tool != TOOL:
        return False
    if set(names) != {path.partition("/")[0] for path in lock.written}:
        return False
    try:
        return all(
            hashlib.sha256(read_head(repository / path, _MAX_BYTES)).hexdigest() == sha
            for path, sha in lock.written.items()
        )
    except OSError:
        return False
