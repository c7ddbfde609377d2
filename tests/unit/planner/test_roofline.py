"""Execution times from operations and bytes."""

import pytest

from tritongen.model.facts import Precision
from tritongen.model.gpu_cards import CARDS
from tritongen.model.graph_work import GraphWork, Work
from tritongen.planner.roofline import MachineRates, busy_s, card_rates, execution_s

RATES = MachineRates(matrix=1e12, other=1e11, bandwidth=1e11, launch_s=1e-5)


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        (Work(matrix_flops=10**12, matrix_bytes=10**9), 1.0),
        (Work(matrix_flops=10**9, matrix_bytes=10**11), 1.0),
        (Work(other_flops=10**11, other_bytes=10**9), 1.0),
        (Work(10**12, 0, 10**11, 0), 2.0),
    ],
)
def test_the_greater_of_operations_and_bytes_counts(work, seconds):
    assert busy_s(work, RATES) == pytest.approx(seconds)
    assert execution_s(work, RATES) == busy_s(work, RATES)


def test_each_kernel_is_launched():
    assert execution_s(Work(kernels=100), RATES) == pytest.approx(1e-3)


def test_work_is_linear_in_rows():
    graph = GraphWork(Work(10, 20, 1, 2, 5, 7), Work(10, 5, 1, 2, 0, 7))
    assert graph.of(1) == Work(10, 20, 1, 2, 5, 7)
    assert graph.of(4) == Work(40, 35, 4, 8, 5, 28)
    assert (graph.of(4).flops, graph.of(4).bytes) == (44, 43)


def test_a_larger_card_is_never_slower_and_rows_get_cheaper():
    graph = GraphWork(
        Work(8_000_000_000, 190_000_000, 17_000_000, 150_000_000, 122, 0),
        Work(8_000_000_000, 90_000_000, 17_000_000, 150_000_000),
    )
    for precision in Precision:
        times = [
            execution_s(graph.of(16), card_rates(CARDS[name], precision))
            for name in ("T4", "A10", "A100-40", "A100-80", "H100", "H200")
        ]
        assert times == sorted(times, reverse=True)
    rates = card_rates(CARDS["T4"], Precision.SINGLE)
    items = [execution_s(graph.of(rows), rates) / rows for rows in (1, 2, 4, 8, 16, 32)]
    assert items == sorted(items, reverse=True)
