"""Memory from the text of a metrics page."""

import pytest

from tritongen.fleet.observe.scrape import counters_of_metrics
from tritongen.system.process_usage import peak_bytes, reset_peak
from tritongen.triton.metrics import parse_metrics
from tritongen.triton.statistics import GpuUse


@pytest.mark.parametrize(
    "labels", ["", '{host="a"}', '{path="/a}b"}', r'{path="a\"}b",zone="c"}', '{pod="{x}",z="}"}']
)
def test_labels_may_hold_braces_and_quotes(labels):
    text = (
        "# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]\n"
        f"nv_cpu_utilization{labels} 0.25\n"
        f"nv_cpu_memory_used_bytes{labels} 1048576\n"
        'nv_gpu_utilization{gpu="}"} 0.5\n'
    )
    used = parse_metrics(text)
    assert (used.memory_bytes, used.source) == (1048576, "metrics")


SIZE = 1 << 22


@pytest.mark.parametrize(
    "page",
    [
        "a{" + "x" * SIZE,
        "a{" + '""' * (SIZE // 2),
        'a{x="' + "\\\\" * (SIZE // 2),
        "a" * SIZE,
        "a" + " " * SIZE,
        "nv_inference_count{" + "a" * SIZE + "} 3\n",
        "nv_inference_count{" + 'a="b",' * (SIZE // 6) + "} 3\n",
        'nv_inference_count{model="m"} 3\n' * (SIZE // 32),
    ],
    ids=lambda page: page[:24],
)
def test_a_hostile_page_takes_neither_time_nor_memory(page):
    """Some of these took 160 times their size, and one the square of its length in time."""
    reset_peak()
    before = peak_bytes()
    assert len(counters_of_metrics(page)) <= 1
    assert peak_bytes() - before < 8 * SIZE


def test_a_page_of_another_server():
    assert parse_metrics('up{job="}"} 1\n').source == ""


GPUS = """\
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1c3d5e70-0000-0000-0000-000000000001"} 0.83
nv_gpu_utilization{gpu_uuid="GPU-1c3d5e70-0000-0000-0000-000000000002"} 0.41
# HELP nv_gpu_memory_total_bytes GPU total memory, in bytes
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1c3d5e70-0000-0000-0000-000000000001"} 24152899584.000000
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1c3d5e70-0000-0000-0000-000000000002"} 24152899584.000000
# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1c3d5e70-0000-0000-0000-000000000001"} 21474836480.000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1c3d5e70-0000-0000-0000-000000000002"} 1073741824.000000
# HELP nv_gpu_power_usage GPU power usage in watts
nv_gpu_power_usage{gpu_uuid="GPU-1c3d5e70-0000-0000-0000-000000000001"} 61.308
nv_cpu_memory_used_bytes 8589934592
"""


def test_gpus_are_told_together():
    used = parse_metrics(GPUS)
    assert (used.memory_bytes, used.source) == (8 << 30, "metrics")
    assert used.gpus == GpuUse(pytest.approx(0.62), 21 << 30, 2 * 24152899584)


def test_a_slice_of_a_gpu_tells_no_use():
    page = "\n".join(line for line in GPUS.splitlines() if "utilization" not in line)
    assert parse_metrics(page).gpus == GpuUse(None, 21 << 30, 2 * 24152899584)


def test_a_server_without_gpus_tells_of_none():
    assert parse_metrics("nv_cpu_memory_used_bytes 1048576\n").gpus is None
