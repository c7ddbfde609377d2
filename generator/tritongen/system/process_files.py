"""What the kernel tells of each process in the files of /proc/PID; nothing else reads them.

It takes little of the standard library, and nothing of the package: the guard of a server, which
imports it, is there within milliseconds.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ENTRY_BYTES = 8  # of /proc/PID/pagemap, one for each page
_PART_BYTES = 65_536  # fault_around_bytes of Linux, unless an administrator has changed it


def running_pids() -> tuple[int, ...]:
    """Every process that this one can see, in the order of their numbers; none without /proc."""
    with suppress(FileNotFoundError):
        return tuple(sorted(int(name) for name in os.listdir(_PROC) if name.isdigit()))  # noqa: PTH208  (names alone)
    return ()


def exists(pid: int) -> bool:
    """Whether there is a process of that number, running or a zombie."""
    if _PROC.is_dir():
        return (_PROC / str(pid)).exists()
    try:
        os.kill(pid, 0)
    except OSError as problem:
        return isinstance(problem, PermissionError)
    return True


def stat_fields(pid: int) -> Sequence[str]:
    """Fields of /proc/PID/stat after the name: state, parent, …; empty when it is gone.

    The first is the kernel's field number 3, see proc_pid_stat(5).
    """
    # The name stands in parentheses and may hold blanks and parentheses itself.
    return _read(pid, "stat").decode("utf-8", "replace").rpartition(")")[2].split()


def parent(pid: int) -> int:
    """The process that started it, or that it was left to; 0 when it is gone."""
    fields = stat_fields(pid)
    return int(fields[1]) if fields else 0


def children(pid: int) -> tuple[int, ...]:
    """What a process has started and what was left to it, by a look at every process."""
    return tuple(other for other in running_pids() if parent(other) == pid)


def descendants(pid: int) -> Iterator[int]:
    """All that a process and its threads have started; none where the kernel does not say."""
    with suppress(OSError):
        for thread in os.listdir(_PROC / str(pid) / "task"):  # noqa: PTH208  (as above)
            for child in map(int, _read(pid, f"task/{thread}/children").split()):
                yield child
                yield from descendants(child)


def resident_pages(pid: int) -> tuple[int, int]:
    """Pages of its memory that are resident, and those of files and shared memory among them."""
    words = _read(pid, "statm").split()
    return (int(words[1]), int(words[2])) if len(words) > 2 else (0, 0)


def command_line(pid: int) -> list[bytes]:
    """The words that a process was started with; none when it is gone, or a part of the kernel."""
    text = _read(pid, "cmdline")
    return text.removesuffix(b"\0").split(b"\0") if text else []


def command_name(pid: int) -> str:
    """The name of its program as the kernel cuts it, after 15 bytes; empty when it is gone."""
    return _read(pid, "comm").decode("utf-8", "replace").strip()


def environment_entries(pid: int) -> list[bytes]:
    """``NAME=value`` as the process was started with; none when it is gone or another user's."""
    return _read(pid, "environ").split(b"\0")


def open_files(pid: int) -> set[str]:
    """What its file descriptors lead to, as /proc has it; none when it is gone or another user's.

    Sockets are called ``socket:[inode]``.
    """
    try:
        return {str(link.readlink()) for link in (_PROC / str(pid) / "fd").iterdir()}
    except OSError:
        return set()


def mapped_file_parts() -> Iterator[int]:
    """Addresses, one in each part of a read-only mapped file that is in this process's memory.

    A part is what the kernel brings in at once where a process reads a byte of it, which it does
    only if it has not inherited the part: a fork does not. Empty where the kernel does not tell.
    """
    with suppress(OSError), Path("/proc/self/pagemap").open("rb", buffering=0) as pages:
        for line in _read(os.getpid(), "maps").decode("utf-8", "replace").splitlines():
            addresses, rights, _, _, inode, *_ = line.split(maxsplit=5)
            if inode == "0" or not rights.startswith("r-"):
                continue
            begin, end = (int(address, 16) for address in addresses.split("-"))
            pages.seek(begin // _PAGE_BYTES * _ENTRY_BYTES)
            entries = pages.read((end - begin) // _PAGE_BYTES * _ENTRY_BYTES)
            # The highest bit of an entry says that the page is there.
            there = (
                begin + number * _PAGE_BYTES
                for number, byte in enumerate(entries[_ENTRY_BYTES - 1 :: _ENTRY_BYTES])
                if byte & 0x80
            )
            yield from {address // _PART_BYTES: address for address in there}.values()


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
