"""Two models timed in pairs, so that a disturbance of the machine falls on both.

The order within a pair alternates. What counts is the median of the pairs' ratios with its
interval; two runs of one model thus measure as no difference.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tritongen.model.samples import Array, stack_rows
from tritongen.model.variants import Speedup
from tritongen.optimize.onnx_session import Runner, RunRefusal, RunSettings
from tritongen.probe.statistics.intervals import quantile_ranks
from tritongen.trial.costs import SETTLE_S, Sampler

# A distribution-free interval of a median at 95 % needs six pairs. Chosen: some more than that, and
# an end for models that run in microseconds.
_MIN_PAIRS, _MAX_PAIRS = 9, 101
# Chosen: executions of 4 us fill a sample; of shorter ones the ratio is told well enough.
_MAX_REPEATS = 500


@dataclass(frozen=True, slots=True)
class Point:
    """Where speed is measured: rows in an execution, and threads."""

    batch: int
    threads: int


def points(threads: int, *, batched: bool) -> tuple[Point, ...]:
    """One row on one thread first: the point that counts for a server with an instance a core."""
    batches = (1, 8) if batched else (1,)
    counts = (1, threads) if threads > 1 else (1,)
    return tuple(Point(batch, count) for count in counts for batch in batches)


# Makes a runner of the original, and one of the variant.
Runners = tuple[Callable[[RunSettings], Runner], Callable[[RunSettings], Runner]]


def speedups(
    make: Runners, rows: Sequence[Mapping[str, Array]], where: Sequence[Point], seconds: float
) -> tuple[Speedup, ...]:
    """Speed-ups at every point, as far as the seconds reach; at least at the first one.

    Args:
        make: the original's runner and the variant's.
        rows: inputs of one run each; several are joined for a batch.
        where: points, the most important one first.
        seconds: for all of them.

    Raises:
        RunRefusal: a model does not run at the first point.
    """
    end = time.monotonic() + seconds
    found: list[Speedup] = []
    for index, point in enumerate(where):
        left = end - time.monotonic()
        if found and left <= 0:
            break
        inputs = rows[0]
        if point.batch > 1:
            inputs = stack_rows([rows[number % len(rows)] for number in range(point.batch)])
        settings = RunSettings(threads=point.threads, lean=False)
        try:
            runners = (make[0](settings), make[1](settings))
            share = max(left, 0.5) / (len(where) - index)
            first, second = paired_times(runners, inputs, share, settle=point.threads > 1)
        except RunRefusal:
            if not found:
                raise
            continue
        found.append(paired_speedup(first, second, batch=point.batch, threads=point.threads))
    return tuple(found)


def paired_times(
    runners: tuple[Runner, Runner], inputs: Mapping[str, Array], seconds: float, *, settle: bool
) -> tuple[list[float], list[float]]:
    """Seconds of one execution of each, pair by pair, until the time is over.

    Raises:
        RunRefusal: a model does not run on these inputs.
    """
    samplers = [Sampler(partial(runner.run, inputs), _MAX_REPEATS) for runner in runners]
    for sampler in samplers:
        sampler.warm()
    end = time.monotonic() + seconds
    for pair in range(_MAX_PAIRS):
        if pair >= _MIN_PAIRS and time.monotonic() > end:
            break
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            if settle:
                time.sleep(SETTLE_S)
            samplers[side].sample()
    return samplers[0].samples, samplers[1].samples


def paired_speedup(
    original: Sequence[float], variant: Sequence[float], *, batch: int = 1, threads: int = 1
) -> Speedup:
    """The median ratio of paired times, with its distribution-free interval at 95 %.

    Args:
        original: seconds of the original, one a pair.
        variant: seconds of the variant, in the same order.
        batch: rows in an execution.
        threads: of both.
    """
    ratios = sorted(a / max(b, 1e-9) for a, b in zip(original, variant, strict=True))
    size = len(ratios)
    low, high = quantile_ranks(0.5, float(size))
    return Speedup(
        value=_short(statistics.median(ratios)),
        low=_short(ratios[max(0, int(low) - 1)]),
        high=_short(ratios[min(size, math.ceil(high)) - 1]),
        batch=batch,
        threads=threads,
        pairs=size,
        original_ms=float(f"{statistics.median(original) * 1e3:.4g}"),
    )


def _short(value: float) -> float:
    return float(f"{value:.4g}")
