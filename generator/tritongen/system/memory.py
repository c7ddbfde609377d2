"""Memory as the kernel counts it: of this process and of others, and what the machine has left."""

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from tritongen.system.process_files import resident_pages

__all__ = ["available_bytes", "peak_bytes", "reset_peak", "resident_bytes", "resident_bytes_of"]

_SELF = Path("/proc/self")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Chosen: any machine that runs a server has as much.
_UNKNOWN_BYTES = 2 << 30


def available_bytes(unknown: int = _UNKNOWN_BYTES) -> int:
    """Memory that can be taken without swapping.

    Args:
        unknown: where the machine does not say.
    """
    stated = _kib("/proc/meminfo", "MemAvailable")
    return unknown if stated is None else stated * 1024


def resident_bytes(pid: int) -> int:
    """Resident memory of a process now; 0 when it is gone."""
    return resident_pages(pid)[0] * _PAGE_BYTES


def resident_bytes_of(pids: Sequence[int]) -> int:
    """Resident memory of the largest process, or of all but what they share if that is more."""
    pages = [resident_pages(pid) for pid in pids]
    alone = sum(resident - shared for resident, shared in pages)
    return _PAGE_BYTES * max(alone, *(resident for resident, _ in pages))


def reset_peak() -> None:
    """Begin a new high-water mark of this process, where the kernel allows it."""
    try:
        (_SELF / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        # Without it the mark includes the imports, which were smaller than most models.
        return


def peak_bytes() -> int:
    """Greatest resident memory of this process since `reset_peak`, or since the start."""
    stated = _kib("/proc/self/status", "VmHWM")
    return (stated or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def _kib(path: str, key: str) -> int | None:
    """The number of a line ``KEY: NUMBER kB``; None where there is no such line."""
    try:
        lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = (line.split()[1:] for line in lines if line.startswith(f"{key}:"))
    return next((int(words[0]) for words in found if words), None)
