"""Where the tool keeps what it may lose: downloads, hashes of large files, locks of builds."""

import os
import stat
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.serving.files import translated

__all__ = ["private_folder", "user_cache"]


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/tritongen``, else ``~/.cache/tritongen``; it need not exist.

    An account without a home that it may write to, as in many containers, gets a folder of its own
    among the temporary files.

    Raises:
        EnvironmentProblem: TG004, that last folder cannot be made or belongs to somebody else.
    """
    for base in _bases():
        if _writable(base):
            return base / "tritongen"
    return private_folder()


def private_folder() -> Path:
    """A folder of this user's own among the temporary files, made when it is missing.

    Raises:
        EnvironmentProblem: TG004, it cannot be made or belongs to somebody else.
    """
    import tempfile

    return _private(Path(tempfile.gettempdir()) / f"tritongen-{os.getuid()}")


def _bases() -> list[Path]:
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The standard has relative ones ignored.
    bases = [Path(given)] if given.startswith("/") else []
    try:
        return [*bases, Path.home() / ".cache"]
    except RuntimeError:
        return bases  # no HOME, and no entry in the user database


def _writable(folder: Path) -> bool:
    """Whether the folder, or the nearest one above it that exists, can be written to."""
    for part in (folder, *folder.parents):
        if part.exists():
            return part.is_dir() and os.access(part, os.W_OK | os.X_OK)
    return False


def _private(folder: Path) -> Path:
    """The folder, which nobody else could have put there: programs are started from it."""
    with translated(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise EnvironmentProblem(
            "TG004",
            "belongs to another user",
            where=str(folder),
            fix="Set XDG_CACHE_HOME to a folder of your own.",
        )
    return folder
