"""Limits of the control groups that this process runs in: CPUs and memory.

cgroup v2 gives `cpu.max`, `cpuset.cpus.effective` and `memory.max`; v1 gives `cpu.cfs_quota_us`
with `cpu.cfs_period_us`, `cpuset.cpus` and `memory.limit_in_bytes`. A limit may stand on any
ancestor, so the least one on the way up to the root counts.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["count_cpus", "cpu_quota", "cpuset_size", "memory_left", "oom_kills"]

_ROOT = Path("/")
_CGROUPS = "sys/fs/cgroup"
# (limit, use) in v2 and in v1.
_MEMORY_FILES = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_NO_LIMIT_BYTES = 1 << 60  # v1 writes a number near 2**63 for none


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Cores that the least quota allows; None without one.

    Args:
        root: where `proc` and `sys` lie; another folder in tests.
    """
    limits: list[float] = []
    for folder in _folders(root, "", ""):
        quota, period = (*_text(folder / "cpu.max").split(), "", "")[:2]
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            limits.append(int(quota) / int(period))
    for mount in ("cpu", "cpu,cpuacct"):
        for folder in _folders(root, mount, "cpu"):
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period) > 0:
                limits.append(int(quota) / int(period))
    return min(limits, default=None)


def cpuset_size(root: Path = _ROOT) -> int | None:
    """Logical CPUs in the least cpuset; None when no group sets one.

    Args:
        root: as for `cpu_quota`.
    """
    places = (("", "", "cpuset.cpus.effective"), ("cpuset", "cpuset", "cpuset.cpus"))
    counts = [
        count
        for mount, controller, name in places
        for folder in _folders(root, mount, controller)
        if (count := count_cpus(_text(folder / name)))
    ]
    return min(counts, default=None)


def memory_left(root: Path = _ROOT) -> int | None:
    """Bytes that the least limit leaves; None without one.

    Args:
        root: as for `cpu_quota`.
    """
    left = []
    for folder in _memory_folders(root):
        for limit, used in _MEMORY_FILES:
            most, now = _text(folder / limit), _text(folder / used)
            if most.isdigit() and now.isdigit() and int(most) < _NO_LIMIT_BYTES:
                left.append(max(0, int(most) - int(now)))
    return min(left, default=None)


def oom_kills(root: Path = _ROOT) -> int:
    """How often the kernel killed a process of this group for lack of memory; 0 if unknown.

    Meaningful as a difference: a count that rose while a server ran explains its end.

    Args:
        root: as for `cpu_quota`.
    """
    own = next(_memory_folders(root), None)
    if own is None:
        return 0
    for name in ("memory.events", "memory.oom_control"):  # of v2 and of v1
        words = _text(own / name).split()
        if "oom_kill" in words[:-1] and (count := words[words.index("oom_kill") + 1]).isdigit():
            return int(count)
    return 0


def count_cpus(text: str) -> int:
    """Number of CPUs in a kernel list such as ``0-3,8``; 0 for anything else."""
    total = 0
    for part in filter(None, text.split(",")):
        low, _, high = part.strip().partition("-")
        if not low.isdigit() or (high and not high.isdigit()):
            return 0
        total += max(0, int(high or low) - int(low) + 1)
    return total


def _memory_folders(root: Path) -> Iterator[Path]:
    """The group that accounts for this process's memory, then its ancestors."""
    one = "memory" if "memory" in _group_paths(root) else ""
    return _folders(root, one, one)


def _folders(root: Path, mount: str, controller: str) -> Iterator[Path]:
    """The group's folder and its ancestors, as far as they exist.

    In a container the group's own path may not be visible; its root then stands at the mount.

    Args:
        root: where `proc` and `sys` lie.
        mount: of the hierarchy; empty for that of v2.
        controller: of v1; empty for v2.
    """
    base = root / _CGROUPS / mount
    group = _group_paths(root).get(controller, PurePosixPath("/"))
    inner = Path(*(part for part in group.parts if part not in {"/", ".."}))
    for folder in (base / inner, *(base / parent for parent in inner.parents)):
        if folder.is_dir():
            yield folder


def _group_paths(root: Path) -> dict[str, PurePosixPath]:
    """Controller → group path, from /proc/self/cgroup; the v2 hierarchy has the key ``""``."""
    paths = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        for controller in controllers.split(","):
            paths[controller] = PurePosixPath(path or "/")
    return paths


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
