"""The machine or container that this process runs in: CPUs, limits, ports, what its kernel allows.

Limits are those of the control groups that the process is in. cgroup v2 gives `cpu.max`,
`cpuset.cpus.effective` and `memory.max`; v1 gives `cpu.cfs_quota_us` with `cpu.cfs_period_us`,
`cpuset.cpus` and `memory.limit_in_bytes`. A limit may stand on any ancestor, so the least one on
the way up to the root counts.
"""

import errno
import os
import socket
import sys
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from tritongen.errors import EnvironmentProblem
from tritongen.model.cores import CpuReading

_ROOT = Path("/")
_CGROUPS = "sys/fs/cgroup"
# (limit, use) in v2 and in v1.
_MEMORY_FILES = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_NO_LIMIT_BYTES = 1 << 60  # v1 writes a number near 2**63 for none
MIN_PORT = 20_000
# Of the ports that this process has chosen last, so that their servers may come to listen: chosen,
# ten servers' that are started at a time.
_MAX_RESERVED = 30
_reserved: deque[socket.socket] = deque()


def read_cpus(root: Path = _ROOT) -> CpuReading:
    """Read affinity, quota, cpuset and physical cores.

    Args:
        root: where `proc` and `sys` lie; another folder in tests.
    """
    allowed = own_cpus()
    lines = (line for line in cpu_info(root).splitlines() if "model name" in line)
    names = (line.split(":", 1)[1].strip() for line in lines)
    return CpuReading(
        affinity=len(allowed),
        physical=_physical_cores(root, allowed),
        quota=cpu_quota(root),
        cpuset=cpuset_size(root),
        model=next(names, ""),
    )


def own_cpus() -> set[int]:
    """The CPUs that this process may use; all where the system has no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def pin(cpus: Collection[int]) -> None:
    """Keep this thread, and all that it starts, on those CPUs, where the system has affinity."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def require_linux(what: str) -> None:
    """Stop what asks the kernel for what only Linux has.

    Args:
        what: is asked for.

    Raises:
        EnvironmentProblem: TG015.
    """
    if sys.platform != "linux":
        raise EnvironmentProblem("TG015", f"{what} needs Linux, and this is {sys.platform}")


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


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Cores that the least quota allows; None without one.

    Args:
        root: as for `read_cpus`.
    """
    texts = [_text(folder / "cpu.max").split() for folder in _folders(root, "", "")]
    texts += [
        [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
        for mount in ("cpu", "cpu,cpuacct")
        for folder in _folders(root, mount, "cpu")
    ]
    pairs = [text for text in texts if len(text) == 2 and all(part.isdigit() for part in text)]
    return min((int(quota) / int(time) for quota, time in pairs if int(time) > 0), default=None)


def cpuset_size(root: Path = _ROOT) -> int | None:
    """Logical CPUs in the least cpuset; None when no group sets one.

    Args:
        root: as for `read_cpus`.
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
        root: as for `read_cpus`.
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
        root: as for `read_cpus`.
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


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now.

    Raises:
        EnvironmentProblem: TG814 when the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Triton sets the same option; without it a port in TIME_WAIT would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise EnvironmentProblem(
                "TG814", f"cannot listen on {host}: {error.strerror or error}", where=host
            ) from error
    return True


def reserve(port: int) -> bool:
    """Keep other starts on this machine from a port that is chosen and not listened on yet.

    A server that is being started does not say so for a second or more; another one that has drawn
    the same port meanwhile would be taken for it. The kernel frees the name with this process.
    """
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0tritongen-port-{port}")
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    if len(_reserved) > _MAX_RESERVED:
        _reserved.popleft().close()
    return True


def ephemeral_start() -> int:
    """Ports from here on are given to outgoing connections and may vanish at any moment."""
    try:
        text = _text(_ROOT / "proc/sys/net/ipv4/ip_local_port_range")
        return max(MIN_PORT + 2000, int(text.split()[0]))
    except (ValueError, IndexError):
        return 32_768
