"""Limits from cgroup v1 and v2, affinity and physical cores."""

import os
from pathlib import Path

import pytest

from tritongen.model.cores import CpuReading, budget_of, budget_of_limit
from tritongen.system.machine import count_cpus, memory_left, oom_kills, read_cpus


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_v2_quota_and_cpuset(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/system.slice/docker.scope\n")
    put(tmp_path, "sys/fs/cgroup/system.slice/docker.scope/cpu.max", "150000 100000\n")
    put(tmp_path, "sys/fs/cgroup/cpuset.cpus.effective", "0-3,8\n")
    reading = read_cpus(tmp_path)
    assert reading.quota == 1.5
    assert reading.cpuset == 5


def test_v2_in_a_container_whose_own_path_is_not_visible(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/../../other\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "200000 100000\n")
    assert read_cpus(tmp_path).quota == 2.0


def test_v2_limit_of_an_ancestor_counts(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    put(tmp_path, "sys/fs/cgroup/a/cpu.max", "100000 100000\n")
    put(tmp_path, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
    assert read_cpus(tmp_path).quota == 1.0


def test_v1_quota_and_cpuset(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/docker/x\n2:cpuset:/docker/x\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "400000\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n")
    put(tmp_path, "sys/fs/cgroup/cpuset/docker/x/cpuset.cpus", "0-1\n")
    reading = read_cpus(tmp_path)
    assert reading.quota == 4.0
    assert reading.cpuset == 2


def test_v1_without_limit(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "4:cpu:/\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert read_cpus(tmp_path).quota is None


def test_v2_memory_of_the_group_and_its_ancestors(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    put(tmp_path, "sys/fs/cgroup/a/memory.max", "1000\n")
    put(tmp_path, "sys/fs/cgroup/a/memory.current", "700\n")
    put(tmp_path, "sys/fs/cgroup/a/b/memory.max", "max\n")
    put(tmp_path, "sys/fs/cgroup/a/b/memory.current", "600\n")
    put(tmp_path, "sys/fs/cgroup/a/b/memory.events", "low 0\noom 3\noom_kill 2\n")
    assert memory_left(tmp_path) == 300
    assert oom_kills(tmp_path) == 2


def test_v1_memory(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "4:memory:/docker/x\n0::/\n")
    put(tmp_path, "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "1000\n")
    put(tmp_path, "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "400\n")
    put(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{2**63 - 4096}\n")
    put(tmp_path, "sys/fs/cgroup/memory/memory.usage_in_bytes", "500\n")
    put(tmp_path, "sys/fs/cgroup/memory/docker/x/memory.oom_control", "under_oom 0\noom_kill 1\n")
    assert memory_left(tmp_path) == 600
    assert oom_kills(tmp_path) == 1


def test_memory_without_a_limit(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    assert memory_left(tmp_path) is None
    assert oom_kills(tmp_path) == 0


def test_hyper_threads_share_a_core(tmp_path: Path) -> None:
    for cpu in os.sched_getaffinity(0):
        put(
            tmp_path,
            f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list",
            f"{cpu - cpu % 2},{cpu - cpu % 2 + 1}\n",
        )
    cores = {cpu // 2 for cpu in os.sched_getaffinity(0)}
    assert read_cpus(tmp_path).physical == len(cores)


def test_nothing_readable(tmp_path: Path) -> None:
    reading = read_cpus(tmp_path)
    assert reading == CpuReading(affinity=len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("reading", "cores", "word"),
    [
        (CpuReading(8), 8, "affinity"),
        (CpuReading(8, physical=4), 4, "physical"),
        (CpuReading(8, physical=4, quota=2.9), 2, "quota"),
        (CpuReading(8, physical=4, quota=0.5), 1, "quota"),
        (CpuReading(8, cpuset=3), 3, "cpuset"),
    ],
)
def test_the_least_bound_counts(reading: CpuReading, cores: int, word: str) -> None:
    budget = budget_of(reading)
    assert budget.value == cores
    assert word in budget.reason.sentence


def test_a_stated_limit_is_rounded_down_to_at_least_one() -> None:
    assert budget_of_limit(0.5).value == 1
    assert budget_of_limit(3.9).value == 3
    assert "3.9" in budget_of_limit(3.9).reason.sentence


@pytest.mark.parametrize(
    ("text", "count"), [("0-3,8", 5), ("7", 1), ("", 0), ("x", 0), ("3-1", 0), ("0-1,", 2)]
)
def test_cpu_lists(text: str, count: int) -> None:
    assert count_cpus(text) == count
