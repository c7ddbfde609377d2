"""Memory from the text of a metrics page."""

import pytest

from tritongen.fleet.observe.scrape import counters_of_metrics
from tritongen.system.process_usage import peak_bytes, reset_peak
from tritongen.triton.metrics import parse_metrics


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
