"""Atomic file primitives: write beside, fsync, rename; and a lock between processes.

A reader sees the old file or the new one, never a half. An interrupted write leaves at most one
temporary file, whose name carries the writer's process id, so that `remove_leftovers` can tell it
from one that is being written now.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn, Self

from tritongen.errors import EnvironmentProblem
from tritongen.system.own_files import open_own
from tritongen.system.process_files import exists

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LEFTOVER = re.compile(r"\.tritongen-(\d+)-(.+)\.tmp")


def _raise(error: OSError, path: Path) -> NoReturn:
    # A temporary file's name says nothing to a person: its target does.
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    staged = _LEFTOVER.fullmatch(path.name)
    target = path.with_name(staged[2]) if staged else path
    where = str(target if _LEFTOVER.fullmatch(named.name) else named)
    if error.errno in _NO_SPACE:
        raise EnvironmentProblem("TG005", "no space left on the device", where=where) from error
    reason = (error.strerror or str(error)).lower()
    raise EnvironmentProblem("TG004", f"cannot be written: {reason}", where=where) from error


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns the operating system's errors on writing into the tool's.

    Raises:
        EnvironmentProblem: TG005 for a full disk or quota, TG004 for everything else.
    """
    try:
        yield
    except OSError as error:
        _raise(error, path)


@contextmanager
def _beside(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """A temporary file in the target's folder that replaces the target when the block ends."""
    import tempfile

    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".tritongen-{os.getpid()}-", suffix=".tmp"
    )
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable; file systems that cannot sync a folder are left as they are."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` by `data` in one step; its folder must exist.

    Args:
        path: the target; an old file stays intact unless everything is on disk.
        data: the whole content.
        mode: permission bits of the new file.

    Raises:
        EnvironmentProblem: TG005 for a full disk, TG004 when the folder cannot be written.
    """
    with translated(path), _beside(path, mode) as file:
        file.write(data)


def remove_leftovers(folder: Path) -> tuple[Path, ...]:
    """Removes temporary files of dead writers in one folder, and names what it removed.

    Raises:
        EnvironmentProblem: TG004 when the folder cannot be written.
    """
    removed = []
    with translated(folder):
        for entry in sorted(folder.glob(".tritongen-*.tmp")):
            match = _LEFTOVER.fullmatch(entry.name)
            if match and not exists(int(match[1])):
                entry.unlink(missing_ok=True)
                removed.append(entry)
    return tuple(removed)


class FileLock:
    """An exclusive lock between processes, held while the `with` block runs.

    The kernel releases it with the process, so that a crash never leaves it locked. The lock file
    itself stays; it holds the process id of the last holder, for the message.

    Args:
        path: the lock file; its folder must exist.
        purpose: what the holder does, for the message of the one who waits in vain.
        timeout: seconds to wait for the other holder; 0 gives up at once.
        on_wait: called once when another process holds it and the wait begins.

    Raises:
        EnvironmentProblem: on entry, TG008 when another process holds it, TG004 when the file
            cannot be written, TG011 when it is no plain file of this user.
    """

    def __init__(
        self,
        path: Path,
        purpose: str,
        *,
        timeout: float = 0.0,
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._purpose = purpose
        self._timeout = timeout
        self._on_wait = on_wait
        self._file: IO[str]  # while it is held

    def __enter__(self) -> Self:
        with translated(self._path):
            descriptor = open_own(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            file = os.fdopen(descriptor, "a+", encoding="ascii", errors="replace")
        try:
            self._acquire(file)
            with translated(self._path):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
        except BaseException:
            with suppress(OSError):  # on a full disk it tries once more to write what is left
                file.close()
            raise
        self._file = file
        return self

    def _acquire(self, file: IO[str]) -> None:
        try:
            import fcntl
        except ImportError:  # such a system has no lock that ends with its process
            return
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self._refuse(file)
                if self._on_wait is not None:
                    self._on_wait()
                    self._on_wait = None
                time.sleep(0.05)
            except OSError as error:
                _raise(error, self._path)
            else:
                return

    def _refuse(self, file: IO[str]) -> NoReturn:
        file.seek(0)
        holder = file.read(20).strip()
        by = f" (process {holder})" if holder.isdigit() else ""
        raise EnvironmentProblem(
            "TG008", f"another run{by} is at work: {self._purpose}", where=str(self._path)
        )

    def __exit__(self, *_error: object) -> None:
        self._file.close()
