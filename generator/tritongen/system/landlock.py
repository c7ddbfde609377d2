"""Landlock: a process gives up writing files and signalling others, without any right to do so.

Linux 5.13 and later; constants and layouts are those of the kernel's `linux/landlock.h`.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["SIGNALS_SINCE", "landlock_version", "restrict"]

# Numbers of the system calls, the same on every architecture that came after them.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _TRUNCATE, _IOCTL_DEVICE = 1 << 1, 1 << 14, 1 << 15
# Removing, making and moving of every kind of file: REMOVE_DIR to MAKE_SYM, REFER.
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13)) | 1 << 13
_SCOPE_SIGNALS = 1 << 1
# Versions of the interface from which on the kernel knows a right.
_REFER_SINCE, _TRUNCATE_SINCE, _IOCTL_SINCE, SIGNALS_SINCE = 2, 3, 5, 6
_REFER = 1 << 13


def landlock_version() -> int:
    """Version of the kernel's interface; 0 where there is none or it is switched off."""
    try:
        return _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0


def restrict(writable: Sequence[Path]) -> None:
    """Let this process and all that it starts write only below the folders, for good.

    What is elsewhere stays readable. From `SIGNALS_SINCE` on, no process outside can be signalled.
    The caller has set `PR_SET_NO_NEW_PRIVS`.

    Args:
        writable: folders and devices; one that does not exist is left out.

    Raises:
        OSError: the kernel refuses.
    """
    version = landlock_version()
    if not version:
        raise OSError(errno.ENOSYS, "the kernel has no Landlock")
    files = _rights(version)
    scope = _SCOPE_SIGNALS if version >= SIGNALS_SINCE else 0
    rules = struct.pack("=QQQ", files, 0, scope)
    # An older kernel refuses bytes that it does not know unless they are 0, as they are then.
    ruleset = _call(_CREATE_RULESET, rules, len(rules), 0)
    try:
        for path in writable:
            with suppress(FileNotFoundError):
                _allow(ruleset, path, files)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _rights(version: int) -> int:
    """What changes a file or a folder, as far as the kernel knows it."""
    rights = _WRITE_FILE | _CHANGE_FOLDER
    if version < _REFER_SINCE:
        rights &= ~_REFER
    if version >= _TRUNCATE_SINCE:
        rights |= _TRUNCATE
    if version >= _IOCTL_SINCE:
        rights |= _IOCTL_DEVICE
    return rights


def _allow(ruleset: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        of_files = _WRITE_FILE | _TRUNCATE | _IOCTL_DEVICE
        allowed = rights if path.is_dir() else rights & of_files
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    values = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *values)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
