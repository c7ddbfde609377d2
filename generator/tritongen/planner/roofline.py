"""Execution times from operations and bytes: what a machine cannot be faster than, about.

An execution takes the greater of its operations by the peak rate and of its bytes by the bandwidth,
matrix operators and the others apart, a launch for each kernel, and a start. Until it is measured
it may be wrong by a factor of two.
"""

from dataclasses import dataclass

from tritongen.model.facts import Precision
from tritongen.model.gpu_cards import GpuCard
from tritongen.model.graph_work import Work

# What an estimate may be wrong by, either way. Chosen; benchmarks/roofline.py holds it on a CPU.
UNCERTAINTY = 2.0
# Parts of the peak rate and of the bandwidth that kernels reach: 0.3 to 0.6 is usual of the first.
RATE_SHARE, BANDWIDTH_SHARE = 0.45, 0.8
# Between the start of one kernel and of the next; 3 to 6 microseconds were seen.
LAUNCH_S = 5e-6
# Copies to and from the card and waiting for them, once an execution. Chosen.
START_S = 30e-6


@dataclass(frozen=True, slots=True)
class MachineRates:
    """What a machine reaches.

    Attributes:
        matrix: operations a second of matrix products and convolutions.
        other: of other operators.
        bandwidth: bytes a second.
        launch_s: seconds of a kernel that does nothing.
        start_s: of an execution beside its kernels.
    """

    matrix: float
    other: float
    bandwidth: float
    launch_s: float
    start_s: float = 0.0


def card_rates(card: GpuCard, precision: Precision) -> MachineRates:
    """What a card reaches with models of a precision."""
    return MachineRates(
        card.matrix_rate(precision) * RATE_SHARE,
        card.fp32 * RATE_SHARE,
        card.bandwidth * BANDWIDTH_SHARE,
        LAUNCH_S,
        START_S,
    )


def busy_s(work: Work, rates: MachineRates) -> float:
    """Seconds in which an execution computes or moves data."""
    return max(work.matrix_flops / rates.matrix, work.matrix_bytes / rates.bandwidth) + max(
        work.other_flops / rates.other, work.other_bytes / rates.bandwidth
    )


def execution_s(work: Work, rates: MachineRates) -> float:
    """Seconds of an execution."""
    return busy_s(work, rates) + work.kernels * rates.launch_s + rates.start_s
