"""Where the tool keeps what it may lose: downloads, hashes of large files, locks of builds."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.system.files import FileLock, translated
from tritongen.system.own_files import check_folder, make_folders


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/tritongen``, else ``~/.cache/tritongen``; it need not exist.

    An account without a home that it may write to, as in many containers, gets a folder of its own
    among the temporary files.

    Raises:
        EnvironmentProblem: TG011, it is not this user's own; TG004, the one among the temporary
            files cannot be made.
    """
    for base in _bases():
        if _writable(base):
            return _checked(base / "tritongen")
    return private_folder()


def cache_folder(name: str, cache: Path | None = None) -> Path:
    """A folder of the cache, made when it is missing.

    Args:
        name: of the folder.
        cache: the user's when None.

    Raises:
        EnvironmentProblem: TG004 or TG005, it cannot be made; TG011, it is not this user's own.
    """
    cache = cache or user_cache()
    folder = cache / name
    with translated(folder), _another_may_be_named():
        cache.parent.mkdir(parents=True, exist_ok=True)
        make_folders(folder, cache.parent)
    return folder


def folder_lock(folder: Path, purpose: str, *, timeout: float = 0.0) -> FileLock:
    """The lock that one run holds on a folder; it lies in the cache, not among the user's files.

    Args:
        folder: it need not exist.
        purpose: as for `FileLock`.
        timeout: seconds to wait for another run.

    Raises:
        EnvironmentProblem: as `cache_folder`; TG008 on entry.
    """
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:24]
    return FileLock(cache_folder("locks") / f"{key}.lock", purpose, timeout=timeout)


def private_folder() -> Path:
    """A folder of this user's own among the temporary files, made when it is missing.

    Raises:
        EnvironmentProblem: TG004, it cannot be made; TG011, it is not this user's own.
    """
    import tempfile

    base = Path(tempfile.gettempdir())
    return cache_folder("", base / f"tritongen-{os.getuid()}")


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


def _checked(folder: Path) -> Path:
    """The cache, which nobody else could have put there: programs are started from it.

    The user may have put a link there, to a larger disk.
    """
    if folder.is_symlink() and folder.lstat().st_uid == os.geteuid():
        folder = folder.resolve()
    # Whoever makes it, or writes there, says what else is wrong.
    with suppress(OSError), _another_may_be_named():
        check_folder(folder)
    return folder


@contextmanager
def _another_may_be_named() -> Iterator[None]:
    """Adds what else helps with a cache that cannot be used."""
    try:
        yield
    except EnvironmentProblem as problem:
        problem.fix += " Or set XDG_CACHE_HOME to a folder of your own."
        raise
