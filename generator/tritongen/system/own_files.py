"""Files and folders that only the tool itself makes: a project's state, and the user's cache.

A checkout brings whatever its author wished, and a folder may be open to others. So nothing that
stands in such a place is used unless it is a plain file or folder, there under no other name, this
user's, and of a sensible size.
"""

import errno
import os
import shlex
import stat
from pathlib import Path
from typing import NoReturn

from tritongen.errors import EnvironmentProblem

# Of one file that is read at once. Chosen: a journal of a tuning, the largest that the tool writes,
# has some hundred kilobytes, and any machine has this much memory.
MAX_BYTES = 64 << 20
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_OTHERS = 0o077
# A pipe or a device is never waited for, and never becomes the process's terminal.
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def make_folders(folder: Path, within: Path) -> None:
    """Make a folder and those between it and `within`, which exists; each for this user alone.

    Raises:
        EnvironmentProblem: TG011, one of them is a link or another user's.
        OSError: one cannot be made, or is a file.
    """
    missing = [folder.parents[n] for n in range(len(folder.relative_to(within).parts) - 1)]
    for part in (*reversed(missing), folder):
        part.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if check_folder(part) & _OTHERS:
            part.chmod(_FOLDER_MODE)


def check_folder(folder: Path) -> int:
    """The mode of a folder that exists.

    Raises:
        EnvironmentProblem: TG011, it is a link or another user's.
        OSError: it does not exist, or is a file.
    """
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        _refuse(folder, "is a symbolic link")
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    _check_owner(folder, status)
    return status.st_mode


def open_own(path: Path, flags: int) -> int:
    """A descriptor of a file; one that is made, or opened to be written, is this user's alone.

    Args:
        path: its folder was made by `make_folders`.
        flags: as for `os.open`. With O_TRUNC what it held is lost only after it was found sound.

    Raises:
        EnvironmentProblem: TG011, it is no plain file of this user.
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, flags & ~os.O_TRUNC | _FLAGS, _FILE_MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            _refuse(path, "is a symbolic link")
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, or a socket
            _refuse(path, "is not a regular file")
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            _refuse(path, "is not a regular file")
        _check_owner(path, status)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            if status.st_nlink > 1:
                _refuse(path, "is a hard link: the file has another name, too")
            if status.st_mode & _OTHERS:
                os.fchmod(descriptor, _FILE_MODE)
            if flags & os.O_TRUNC:
                os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_own(path: Path) -> bytes:
    """What a file holds.

    Raises:
        EnvironmentProblem: TG011, it is no plain file of this user, or too large.
        OSError: it does not exist, or cannot be read.
    """
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        _refuse(path, f"is larger than {MAX_BYTES >> 20} MiB")
    return data


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        _refuse(path, f"belongs to another user, number {status.st_uid}")


def _refuse(path: Path, what: str) -> NoReturn:
    raise EnvironmentProblem(
        "TG011",
        f"{what}, which the tool would not have made here",
        where=str(path),
        fix=f"Look where it comes from, remove it (rm -r {shlex.quote(str(path))}), and run the "
        "command again.",
    )
