"""The CPU budget of the machine or container that this process runs in.

cgroup v2 gives `cpu.max` and `cpuset.cpus.effective`, v1 gives `cpu.cfs_quota_us` with
`cpu.cfs_period_us` and `cpuset.cpus`. A limit may stand on any ancestor, so the least one on the
way up to the root counts.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tritongen.model.cores import CpuReading


def read_cpus(root: Path = Path("/")) -> CpuReading:
    """Read affinity, quota, cpuset and physical cores.

    Args:
        root: where `proc` and `sys` lie; another folder in tests.
    """
    allowed = os.sched_getaffinity(0)
    info = _text(root / "proc/cpuinfo")
    return CpuReading(
        affinity=len(allowed),
        physical=_physical_cores(root, allowed),
        quota=_quota(root),
        cpuset=_cpuset(root),
        model=next(
            (line.split(":", 1)[1].strip() for line in info.splitlines() if "model name" in line),
            "",
        ),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _physical_cores(root: Path, allowed: set[int]) -> int | None:
    """Distinct sibling groups among the allowed CPUs; None when topology is not exported."""
    groups = set()
    for cpu in sorted(allowed):
        siblings = _text(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        if not siblings:
            return None
        groups.add(siblings)
    return len(groups) or None


def _group_paths(root: Path) -> dict[str, PurePosixPath]:
    """Controller → group path, from /proc/self/cgroup; the v2 hierarchy has the key ``""``."""
    paths = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        for controller in controllers.split(","):
            paths[controller] = PurePosixPath(path or "/")
    return paths


def _folders(base: Path, group: PurePosixPath) -> Iterator[Path]:
    """The group's folder and its ancestors, as far as they exist below `base`.

    In a container the group's own path may not be visible; its root then stands at `base`.
    """
    inner = Path(*(part for part in group.parts if part not in {"/", ".."}))
    for folder in (base / inner, *(base / parent for parent in inner.parents)):
        if folder.is_dir():
            yield folder


def _quota(root: Path) -> float | None:
    limits: list[float] = []
    groups = _group_paths(root)
    for folder in _folders(root / "sys/fs/cgroup", groups.get("", PurePosixPath("/"))):
        quota, period = (*_text(folder / "cpu.max").split(), "", "")[:2]
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            limits.append(int(quota) / int(period))
    for mount in ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"):
        for folder in _folders(root / mount, groups.get("cpu", PurePosixPath("/"))):
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period) > 0:
                limits.append(int(quota) / int(period))
    return min(limits, default=None)


def _cpuset(root: Path) -> int | None:
    counts = []
    groups = _group_paths(root)
    places = (
        ("sys/fs/cgroup", "", "cpuset.cpus.effective"),
        ("sys/fs/cgroup/cpuset", "cpuset", "cpuset.cpus"),
    )
    for mount, controller, name in places:
        for folder in _folders(root / mount, groups.get(controller, PurePosixPath("/"))):
            count = count_cpus(_text(folder / name))
            if count:
                counts.append(count)
    return min(counts, default=None)


def count_cpus(text: str) -> int:
    """Number of CPUs in a kernel list such as ``0-3,8``; 0 for anything else."""
    total = 0
    for part in filter(None, text.split(",")):
        low, _, high = part.strip().partition("-")
        if not low.isdigit() or (high and not high.isdigit()):
            return 0
        total += max(0, int(high or low) - int(low) + 1)
    return total
