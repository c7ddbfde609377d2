"""What a process gives up before it runs what was handed over: the network, files, privileges.

Each part holds by itself: what a kernel or a container does not allow is left out and named.
"""

import ctypes
import errno
import json
import os
import platform
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from tritongen.system.processes import module_command, module_environment

_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = (
    0x00020000, 0x08000000, 0x10000000, 0x40000000,
)  # fmt: skip
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x4000, 0x40000
# Root keeps reading files of others, as it does without a user namespace of its own.
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x20080522
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_AF_NETLINK = 16
# A filter of system calls, as linux/filter.h, linux/seccomp.h and linux/audit.h have it.
_FILTER = 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOWED, _REFUSED = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets
# By machine: its number as the filter sees it, and that of `socket`.
_SYSTEM_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
# It makes sockets, too; and calls by numbers from here on are those of a second interface.
_IO_URING_SETUP, _OTHER_ABI = 425, 0x40000000
# What every program may write to: sinks, and shared memory, where libraries keep their semaphores.
_DEVICES = tuple(Path("/dev") / name for name in ("null", "zero", "full", "random", "urandom"))
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (the system's own)
# It counts for no process; chosen: what Docker gives a container, sixteen times.
_SHARED_MEMORY_BYTES = 2**30
_EVERYONE = 2**32 - 1
_PROBE_TIMEOUT_S = 20.0
# Open files, and bytes of one file. Chosen: ten times what the largest model of ours opens, and
# more than any model weighs; a model that fills the disk is stopped before the disk is full.
MAX_OPEN_FILES = 4096
MAX_FILE_BYTES = 64 * 2**30
# Processes and threads of one user namespace; chosen: sixteen threads for each of 256 cores.
MAX_PROCESSES = 4096
# Landlock, of Linux 5.13 and later, as linux/landlock.h has it.
# Numbers of the system calls, the same on every architecture that came after them.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _TRUNCATE, _IOCTL_DEVICE = 1 << 1, 1 << 14, 1 << 15
# Removing, making and moving of every kind of file: REMOVE_DIR to MAKE_SYM, REFER.
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13)) | 1 << 13
_SCOPE_SIGNALS = 1 << 1
# Versions of the interface from which on the kernel knows a right.
_REFER_SINCE, _TRUNCATE_SINCE, _IOCTL_SINCE, _SIGNALS_SINCE = 2, 3, 5, 6
_REFER = 1 << 13


class SandboxGap(StrEnum):
    """A part of the sandbox that a machine does not give."""

    NETWORK = "the network stays reachable"
    FILES = "files of this user can be changed"
    PROCESSES = "other processes of this user can be ended"


def enter_sandbox(writable: Sequence[Path]) -> tuple[SandboxGap, ...]:
    """Give up network, privileges, and files outside of the folders; there is no way back.

    For a process with one thread, before it runs anything that was handed over.

    Args:
        writable: folders that may be written to.

    Returns:
        What this machine does not allow.
    """
    if sys.platform != "linux":
        return (SandboxGap.NETWORK, SandboxGap.FILES, SandboxGap.PROCESSES)
    import resource

    lower_limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    lower_limit(resource.RLIMIT_FSIZE, MAX_FILE_BYTES)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    alone = _leave_namespaces()
    version = landlock_version()
    gaps = []
    if version:
        _restrict((*writable, _SHARED_MEMORY, *_DEVICES), version)
    else:
        gaps.append(SandboxGap.FILES)
    if version < _SIGNALS_SINCE:
        gaps.append(SandboxGap.PROCESSES)
    # Last: what is set up above needs a socket.
    if not _close_sockets(internet=alone):
        gaps.append(SandboxGap.NETWORK)
    return tuple(gaps)


def sandbox_gaps() -> tuple[SandboxGap, ...]:
    """What the sandbox of this machine leaves open, found by a process that enters one."""
    own = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        module_command(__name__),
        env=module_environment(os.environ, own),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PROBE_TIMEOUT_S,
        check=False,
    )
    if answer.returncode:
        return tuple(SandboxGap)
    return tuple(map(SandboxGap, json.loads(answer.stdout)))


def _leave_namespaces() -> bool:
    """Whether the process is now in a network, and a user namespace, of its own."""
    import resource

    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWNS):
        return False
    try:
        _map_ids(user, group)
        _hide_shared_memory(libc)
        _start_loopback()
    except OSError:
        # In a network that reaches nothing, all the same; only its own services fail there.
        return True
    finally:
        _drop_capabilities(root=user == 0)
    lower_limit(resource.RLIMIT_NPROC, MAX_PROCESSES)
    return True


def _map_ids(user: int, group: int) -> None:
    """Keep the user's number and the group's; root keeps all of them, for files of others."""
    own = Path("/proc/self")
    if user == 0:
        with suppress(OSError):
            (own / "uid_map").write_text(f"0 0 {_EVERYONE}", encoding="ascii")
            (own / "gid_map").write_text(f"0 0 {_EVERYONE}", encoding="ascii")
            return
    (own / "setgroups").write_text("deny", encoding="ascii")
    (own / "uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    (own / "gid_map").write_text(f"{group} {group} 1", encoding="ascii")


def _hide_shared_memory(libc: ctypes.CDLL) -> None:
    """An empty one in its place: regions of running servers are this user's, too."""
    if not libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
        options = f"size={_SHARED_MEMORY_BYTES}".encode()
        libc.mount(b"tmpfs", bytes(_SHARED_MEMORY), b"tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _start_loopback() -> None:
    """A model may speak to a process of its own over 127.0.0.1."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        request = bytearray(struct.pack("16sH22x", b"lo", 0))
        fcntl.ioctl(channel, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("=H", request, 16)
        struct.pack_into("=H", request, 16, flags | _IFF_UP)
        fcntl.ioctl(channel, _SIOCSIFFLAGS, bytes(request))


def _close_sockets(*, internet: bool) -> bool:
    """Whether new sockets are now refused, all but those of a network that reaches nothing.

    A socket of this machine (Docker's, an agent's with keys, a hypervisor's) is a way out that a
    network of its own leaves open.

    Args:
        internet: whether sockets of the internet's families stay, and one that asks the kernel.
    """
    if platform.machine() not in _SYSTEM_CALLS:
        return False
    architecture, socket_call = _SYSTEM_CALLS[platform.machine()]
    families = (socket.AF_INET, socket.AF_INET6, _AF_NETLINK) if internet else ()
    # (operation, jump if so, jump if not, operand); a jump counts the instructions in between.
    tests = [
        (_JUMP_IF_EQUAL, len(families) - number, 0, family)
        for number, family in enumerate(families)
    ]
    return _filter_calls(
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 5 + len(tests), architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_AT_LEAST, 3 + len(tests), 0, _OTHER_ABI),
        (_JUMP_IF_EQUAL, 2 + len(tests), 0, _IO_URING_SETUP),
        (_JUMP_IF_EQUAL, 0, 2 + len(tests), socket_call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *tests,
        (_RETURN, 0, 0, _REFUSED | errno.EACCES),
        (_RETURN, 0, 0, _ALLOWED),
    )


def _filter_calls(*instructions: tuple[int, int, int, int]) -> bool:
    """Whether the kernel takes a filter of system calls for this process and all it starts."""
    program = b"".join(struct.pack("=HBBI", *item) for item in instructions)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
    result: int = ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(head), 0, 0)
    return result == 0


def _drop_capabilities(*, root: bool) -> None:
    """Those that the new user namespace gave; a program that is started gets none back."""
    libc = ctypes.CDLL(None, use_errno=True)
    kept = {_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH} if root else set()
    for number in range(_LAST_CAPABILITY + 1):
        if number not in kept:
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    bits = sum(1 << number for number in kept)
    head = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    libc.capset(head, struct.pack("=6I", bits, bits, 0, 0, 0, 0))


def lower_limit(kind: int, value: int) -> None:
    """Set a limit of `resource` on this process, unless a lower one holds already."""
    import resource

    _, hard = resource.getrlimit(kind)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (least, least))


def landlock_version() -> int:
    """Version of the kernel's Landlock; 0 where there is none or it is switched off."""
    try:
        return _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0


def _restrict(writable: Sequence[Path], version: int) -> None:
    """Let this process and all that it starts write only below the folders, for good.

    What is elsewhere stays readable. From `_SIGNALS_SINCE` on, no process outside can be signalled.
    The caller has set `PR_SET_NO_NEW_PRIVS`.

    Args:
        writable: folders and devices; one that does not exist is left out.
        version: of the kernel's Landlock.

    Raises:
        OSError: the kernel refuses.
    """
    files = _rights(version)
    scope = _SCOPE_SIGNALS if version >= _SIGNALS_SINCE else 0
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


if __name__ == "__main__":
    sys.stdout.write(json.dumps(enter_sandbox(())))
