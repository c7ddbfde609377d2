"""Processes that can be told apart from a later one with the same number."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "LABEL",
    "PROJECT",
    "SERVER",
    "ProcessRef",
    "boot_id",
    "environment_of",
    "memory_left",
    "oom_kills",
    "region_prefix",
]

# Variables by which a server's processes are found again: the project's label and folder, and the
# unique name of the start.
LABEL = "TRITONGEN_LABEL"
PROJECT = "TRITONGEN_PROJECT"
SERVER = "TRITONGEN_SERVER"

# (limit, use) in v2 and in v1.
_MEMORY_FILES = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_NO_LIMIT = 1 << 60  # v1 writes a number near 2**63 for none


def region_prefix(server: str) -> str:
    """How the names of a server's shared memory regions begin."""
    return f"tritongen_{server}_"


def boot_id() -> str:
    """The kernel's name of the present boot; process numbers mean nothing on another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def environment_of(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty when it ended or is not readable."""
    try:
        raw = Path("/proc", str(pid), "environ").read_bytes()
    except OSError:
        return {}
    entries = (entry.decode("utf-8", "replace").partition("=") for entry in raw.split(b"\0"))
    return {name: value for name, separator, value in entries if separator}


def oom_kills() -> int:
    """How often the kernel killed a process of this control group for lack of memory; 0 if unknown.

    Meaningful as a difference: a count that rose while a server ran explains its end.
    """
    for folder in memory_cgroups()[:1]:
        # v2 has the first, v1 the second.
        for name in ("memory.events", "memory.oom_control"):
            try:
                words = (folder / name).read_text(encoding="ascii").split()
                return int(words[words.index("oom_kill") + 1])
            except (OSError, IndexError, ValueError):
                continue
    return 0


def memory_left() -> int | None:
    """Bytes that the least limit on the way up from this control group leaves; None without one."""
    left = []
    for folder in memory_cgroups():
        for limit, used in _MEMORY_FILES:
            try:
                most = (folder / limit).read_text(encoding="ascii").strip()
                now = (folder / used).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if most.isdigit() and now.isdigit() and int(most) < _NO_LIMIT:
                left.append(max(0, int(most) - int(now)))
    return min(left, default=None)


def memory_cgroups() -> tuple[Path, ...]:
    """Folders of this process's control group for memory, itself first, then its ancestors."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    for line in lines:
        _, controllers, place = (*line.split(":", 2), "", "")[:3]
        if controllers in {"memory", ""}:
            root = Path("/sys/fs/cgroup", controllers)
            folder = root / place.lstrip("/")
            if controllers or (root / "cgroup.controllers").exists():
                return (folder, *(part for part in folder.parents if part.is_relative_to(root)))
    return ()


def _start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the process's start; None when it ended or is a zombie."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name stands in parentheses and may hold blanks and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process: its number, and its start time that makes the number unique on this boot."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> "ProcessRef | None":
        """The running process with this number, None when there is none."""
        ticks = _start_ticks(pid)
        return None if ticks is None else cls(pid, ticks)

    def alive(self) -> bool:
        """Whether that very process still runs; a zombie does not."""
        return _start_ticks(self.pid) == self.start_ticks

    def wait(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds for its end; whether it came."""
        deadline = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def send(self, number: signal.Signals) -> bool:
        """Signals that very process.

        Returns:
            Whether it was there to be signalled.

        Raises:
            PermissionError: it belongs to another user.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True
