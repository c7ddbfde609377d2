"""Memory from the text of a metrics page."""

import pytest

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


def test_a_page_of_another_server():
    assert parse_metrics('up{job="}"} 1\n').source == ""
