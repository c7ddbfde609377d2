"""The nearest goals that could be met, when the one that was asked for cannot."""

import math
from dataclasses import replace

from tritongen.queueing import Loop, OpenLoop
from tritongen.tune.search.objective import Objective, Performance
from tritongen.tune.search.predict import Predictor
from tritongen.tune.search.search_space import Candidate

# What a goal is relaxed by beyond the measurement, so that it holds again tomorrow.
_MARGIN = 0.05
_STEPS = 8


def nearest_goals(
    predictor: Predictor,
    candidate: Candidate,
    load: Loop,
    measured: Performance,
) -> tuple[Objective, ...]:
    """The limit that the candidate holds, and the rate at which it holds the limit asked for.

    Args:
        predictor: for the goal that cannot be met.
        candidate: the one that came nearest.
        load: under which it was measured.
        measured: what came of it.

    Returns:
        Goals that differ in one number from the one asked for; none where no number helps.
    """
    objective = predictor.objective
    goals = []
    served = objective.rate_per_s is None or objective.feasible(
        replace(measured, latency_s=objective.limit_s or measured.latency_s)
    )
    if served and objective.limit_s is not None and math.isfinite(measured.latency_s):
        limit = _round_up(measured.latency_s * (1.0 + _MARGIN))
        goals.append(replace(objective, limit_s=limit))
    if objective.rate_per_s is not None:
        rate = _greatest_rate(predictor, candidate, load, measured)
        if rate > 0.0:
            goals.append(replace(objective, rate_per_s=_round_down(rate)))
    return tuple(goals)


def _greatest_rate(
    predictor: Predictor,
    candidate: Candidate,
    load: Loop,
    measured: Performance,
) -> float:
    """The rate that holds the goal by prediction, corrected by what was measured.

    The correction takes the ratio of measured to predicted time at the rate asked for.
    """
    asked = predictor.objective.rate_per_s or 0.0
    predicted = predictor.under(candidate, load).outcome
    slower = 1.0
    if measured.saturated or measured.throughput_per_s < asked * (1.0 - _MARGIN):
        slower = max(1.0, predicted.throughput_per_s / max(measured.throughput_per_s, 1e-9))
    elif math.isfinite(predicted.latency_s) and predicted.latency_s > 0.0:
        slower = max(1.0, measured.latency_s / predicted.latency_s)
    low, high = 0.0, asked
    for _ in range(_STEPS):
        rate = 0.5 * (low + high)
        outcome = predictor.under(candidate, OpenLoop(rate)).outcome
        stretched = replace(outcome, latency_s=outcome.latency_s * slower)
        goal = replace(predictor.objective, rate_per_s=rate)
        if goal.feasible(stretched):
            low = rate
        else:
            high = rate
    return low * (1.0 - _MARGIN)


def _round_up(value: float) -> float:
    """Two significant digits, upwards."""
    step: float = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / step - 1e-9) * step, 9)


def _round_down(value: float) -> float:
    """Two significant digits, downwards."""
    step: float = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.floor(value / step + 1e-9) * step, 9)
