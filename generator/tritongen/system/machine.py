"""The CPUs of the machine or container that this process runs in, and what its kernel allows."""

import os
from pathlib import Path

from tritongen.model.cores import CpuReading
from tritongen.system.cgroups import cpu_quota, cpuset_size

__all__ = ["cpu_info", "ptrace_scope", "read_cpus"]

_ROOT = Path("/")


def read_cpus(root: Path = _ROOT) -> CpuReading:
    """Read affinity, quota, cpuset and physical cores.

    Args:
        root: where `proc` and `sys` lie; another folder in tests.
    """
    allowed = os.sched_getaffinity(0)
    return CpuReading(
        affinity=len(allowed),
        physical=_physical_cores(root, allowed),
        quota=cpu_quota(root),
        cpuset=cpuset_size(root),
        model=next(
            (
                line.split(":", 1)[1].strip()
                for line in cpu_info(root).splitlines()
                if "model name" in line
            ),
            "",
        ),
    )


def cpu_info(root: Path = _ROOT) -> str:
    """The kernel's description of the CPUs; empty where there is none.

    Args:
        root: as for `read_cpus`.
    """
    return _text(root / "proc/cpuinfo")


def ptrace_scope() -> int:
    """Who may trace a process: 0 and 1 for its parent, 2 for root alone, 3 for nobody."""
    text = _text(_ROOT / "proc/sys/kernel/yama/ptrace_scope")
    return int(text) if text.isdigit() else 0  # a kernel without the restriction


def _physical_cores(root: Path, allowed: set[int]) -> int | None:
    """Distinct sibling groups among the allowed CPUs; None when topology is not exported."""
    groups = set()
    for cpu in sorted(allowed):
        siblings = _text(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        if not siblings:
            return None
        groups.add(siblings)
    return len(groups) or None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
