"""A model's curve brought to what was measured at rates, where the very configuration was.

The curve knows how latency grows with the rate; measurements know how high it lies. The logarithm
of their ratio is smooth over the rate and over the percentile. It is estimated by Gaussian process
regression over the rate, percentile after percentile, with the estimate of one as the prior mean of
the next: a tail with few observations borrows from other rates and from the percentile below.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from tritongen.fleet.capacity.model_profile import Sweep
from tritongen.model.evidence import ServedRate
from tritongen.queueing import OperatingCurve
from tritongen.queueing.rate_profiles import CELLS

# A rate that was held is at most this share of the capacity.
_HELD = 0.95
# Prior standard deviations of the logarithm of the ratio: common to all rates, of each rate, and
# the length scale of the latter as a share of the capacity.
_COMMON_SD, _RATE_SD, _LENGTH_SCALE = 0.2, 0.1, 0.25
# What a rate's own adds at the capacity, where a small error of the curve makes a long queue.
_FULL_RATE_SD = 0.6
# Standard error of a measured percentile beside that of its sample, what it adds at the capacity,
# and the observations beyond a percentile without which it is left out.
_ERROR, _FULL_ERROR, _MIN_BEYOND = 0.06, 0.3, 1.5
# Standard error of a percentile with one observation beyond it, in clusters as queues make them.
_ONE_BEYOND_ERROR = 0.6
# Standard error of percentiles from `_TAIL` on, measured for one second: pauses of the machine.
_TAIL, _PAUSE_ERROR = 95.0, 0.25


def held_capacity(sweep: Sweep) -> float:
    """Requests per second that the configuration can do at least."""
    return sweep.rates[-1].per_s / _HELD


def measured_curve(
    curve: OperatingCurve, base: OperatingCurve, sweep: Sweep, added_s: float
) -> OperatingCurve:
    """The curve with the measured latencies, and with its own form where nothing was measured.

    Args:
        curve: to bring there.
        base: of the machine that was measured, under the load that was.
        sweep: what was measured.
        added_s: part of every latency of both curves that is outside the server.
    """
    higher = max(1.0, held_capacity(sweep) / base.capacity_per_s)
    base = _faster(base, higher)
    shares = [point.rate_per_s / curve.capacity_per_s for point in curve.points]
    ratios = _ratios(base, sweep, added_s, shares)
    points = tuple(
        replace(
            point,
            cells_s=tuple(
                accumulate(
                    (
                        (cell - added_s) * math.exp(_at(known, percentile)) + added_s
                        for cell, (percentile, _) in zip(point.cells_s, CELLS, strict=True)
                    ),
                    max,
                )
            ),
        )
        for point, known in zip(curve.points, ratios, strict=True)
    )
    return _faster(OperatingCurve(curve.capacity_per_s, points), higher)


def _faster(curve: OperatingCurve, factor: float) -> OperatingCurve:
    """The same latencies at rates so many times as high."""
    if factor == 1.0:
        return curve
    points = tuple(replace(point, rate_per_s=point.rate_per_s * factor) for point in curve.points)
    return OperatingCurve(curve.capacity_per_s * factor, points)


def _ratios(
    base: OperatingCurve, sweep: Sweep, added_s: float, shares: Sequence[float]
) -> list[list[tuple[float, float]]]:
    """(percentile, logarithm of the ratio), ascending, at shares of the capacity."""
    import numpy as np  # the command line starts without it

    seen = [one.per_s / base.capacity_per_s for one in sweep.rates]
    places = np.array([*seen, *shares])
    apart = (places[:, None] - places[None, :]) / _LENGTH_SCALE
    own = _RATE_SD + _FULL_RATE_SD * np.minimum(places, 1.0) ** 2
    prior = _COMMON_SD**2 + own[:, None] * own[None, :] * np.exp(-0.5 * apart**2)
    expected = np.zeros(len(places))
    found: list[tuple[float, list[float]]] = []
    for percentile in sorted({p for one in sweep.rates for p, _ in one.ms}):
        known = [
            (index, *_seen(base, one, percentile, sweep.transport_s, added_s))
            for index, one in enumerate(sweep.rates)
            if one.requests * (1.0 - percentile / 100.0) >= _MIN_BEYOND
        ]
        known = [one for one in known if math.isfinite(one[1])]
        if not known:
            continue
        rows = np.array([index for index, _, _ in known])
        residuals = np.array([value for _, value, _ in known]) - expected[rows]
        noise = np.diag([error**2 for _, _, error in known])
        weights = np.linalg.solve(prior[np.ix_(rows, rows)] + noise, residuals)
        expected = expected + prior[:, rows] @ weights
        found.append((percentile, [float(value) for value in expected[len(seen) :]]))
    return [[(p, values[index]) for p, values in found] for index in range(len(shares))]


def _seen(
    base: OperatingCurve, one: ServedRate, percentile: float, transport_s: float, added_s: float
) -> tuple[float, float]:
    """Logarithm of measured through expected, NaN where there is none, and its standard error."""
    measured = dict(one.ms).get(percentile, 0.0) / 1e3 - transport_s
    expected = base.latency_s(one.per_s, percentile) - added_s
    if not (measured > 0.0 and 0.0 < expected < math.inf):
        return math.nan, 0.0
    beyond = one.requests * (1.0 - percentile / 100.0)
    busy = one.per_s / base.capacity_per_s
    error = _ERROR + _FULL_ERROR * min(1.0, busy) ** 2
    pauses = _PAUSE_ERROR * math.sqrt(one.per_s / one.requests) if percentile >= _TAIL else 0.0
    sample = _ONE_BEYOND_ERROR / math.sqrt(beyond)
    return math.log(measured / expected), math.hypot(error, sample, pauses)


def _at(known: Sequence[tuple[float, float]], percentile: float) -> float:
    """Between percentiles, by the logarithm of the share beyond; beyond the ends as there."""
    if not known:
        return 0.0
    if percentile <= known[0][0]:
        return known[0][1]
    for (low, first), (high, second) in pairwise(known):
        if percentile <= high:
            span = math.log((100.0 - low) / (100.0 - high))
            return first + (second - first) * math.log((100.0 - low) / (100.0 - percentile)) / span
    return known[-1][1]
