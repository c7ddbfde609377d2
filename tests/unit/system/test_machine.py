"""Limits from cgroup v1 and v2, affinity and physical cores."""

import os
import socket
from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.model.cores import CpuReading, budget_of, budget_of_limit
from tritongen.system.machine import (
    MIN_PORT,
    count_cpus,
    cpu_quota,
    cpuset_size,
    ephemeral_start,
    is_free,
    memory_left,
    oom_kills,
    ptrace_scope,
    read_cpus,
)


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


def test_a_quota_without_a_period_is_none(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "150000 0\n")
    assert cpu_quota(tmp_path) is None
    put(tmp_path, "sys/fs/cgroup/cpu.max", "150000\n")
    assert cpu_quota(tmp_path) is None
    put(tmp_path, "sys/fs/cgroup/cpu.max", "150000 1\n")
    assert cpu_quota(tmp_path) == 150_000.0


def test_an_empty_cpuset_is_none(tmp_path: Path) -> None:
    put(tmp_path, "sys/fs/cgroup/cpuset.cpus.effective", "\n")
    assert cpuset_size(tmp_path) is None


def test_the_processor_has_the_name_of_its_first_thread(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", "processor : 0\nmodel name\t: A: fast\nmodel name\t: B\n")
    assert read_cpus(tmp_path).model == "A: fast"


def test_cores_are_not_known_where_one_thread_does_not_say(tmp_path: Path) -> None:
    for cpu in sorted(os.sched_getaffinity(0))[1:]:
        place = f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        put(tmp_path, place, str(cpu))
    assert read_cpus(tmp_path).physical is None


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [("1000", "1000", 0), ("1000", "1001", 0), ("1000", "max", None), (str(1 << 60), "0", None),
     (str((1 << 60) - 1), "0", (1 << 60) - 1)],
)  # fmt: skip
def test_what_a_limit_of_memory_leaves(tmp_path: Path, limit: str, used: str, left) -> None:
    put(tmp_path, "sys/fs/cgroup/memory.max", limit)
    put(tmp_path, "sys/fs/cgroup/memory.current", used)
    assert memory_left(tmp_path) == left


@pytest.mark.parametrize(
    ("text", "kills"), [("oom_kill 3", 3), ("oom 1\noom_kill", 0), ("oom_kill many", 0), ("", 0)]
)
def test_kills_are_counted_where_the_kernel_says_a_number(tmp_path: Path, text, kills) -> None:
    put(tmp_path, "sys/fs/cgroup/memory.events", text)
    assert oom_kills(tmp_path) == kills


def test_a_memory_group_of_v1_counts_before_the_one_of_v2(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "4:memory:/x\n0::/y\nno line of it\n")
    put(tmp_path, "sys/fs/cgroup/y/memory.max", "50\n")
    put(tmp_path, "sys/fs/cgroup/y/memory.current", "0\n")
    put(tmp_path, "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "100\n")
    put(tmp_path, "sys/fs/cgroup/memory/x/memory.usage_in_bytes", "0\n")
    assert memory_left(tmp_path) == 100


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_is_free_until_somebody_listens(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen(1)
        port = server.getsockname()[1]
        assert not is_free(host, port)
    assert is_free(host, port)


def test_a_host_of_another_machine_is_told() -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        is_free("192.0.2.1", 8000)
    assert (caught.value.code, caught.value.where) == ("TG814", "192.0.2.1")


def test_outgoing_connections_take_their_ports_from_above() -> None:
    assert ephemeral_start() >= MIN_PORT + 2000
    assert 0 <= ptrace_scope() <= 3


def test_a_budget_says_what_bound_it() -> None:
    assert budget_of(CpuReading(4, quota=4.0)).reason.numbers == (
        ("affinity", 4), ("cgroup quota", 4),
    )  # fmt: skip
    assert "rounded" not in budget_of_limit(2.0).reason.sentence
    assert budget_of_limit(2.5).reason.sentence.endswith("rounded down from 2.5")
