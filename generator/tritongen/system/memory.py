"""Memory as the kernel counts it: of this process, and what the machine has left."""

import resource
from pathlib import Path

_SELF = Path("/proc/self")


_UNKNOWN_BYTES = 2 << 30


def available_bytes() -> int:
    """Memory that can be taken without swapping; some GiB where the machine does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _UNKNOWN_BYTES
    found = dict(line.split(":", 1) for line in lines)
    stated = found.get("MemAvailable", "").split()
    return int(stated[0]) * 1024 if stated else _UNKNOWN_BYTES


def resident_bytes() -> int:
    """Resident memory now; 0 where the kernel does not say."""
    return _status("VmRSS")


def reset_peak() -> None:
    """Begin a new high-water mark, where the kernel allows it."""
    try:
        (_SELF / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        # Without it the mark includes the imports, which were smaller than most models.
        return


def peak_bytes() -> int:
    """Greatest resident memory since `reset_peak`, or since the start."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(key: str) -> int:
    try:
        text = (_SELF / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0
