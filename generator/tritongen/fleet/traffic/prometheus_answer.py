"""Recorded traffic as the JSON answer of a Prometheus range query.

Series are told apart by their label `model`; several series of one model (versions, replicas) are
added. Triton's counters are turned into rates, and their falls to zero at a restart are seen;
anything else counts as requests per second already.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from itertools import pairwise
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.fleet.traffic.traffic_history import History, RateRecord, build_histories

_COUNTERS = ("_success", "_count", "_total", "_failure")
Sample = tuple[float, float]


def parse_prometheus(text: str, zone: tzinfo, where: str) -> History:
    """Reads the answer of `/api/v1/query_range`.

    Raises:
        InvalidInputError: TG323, not such an answer; TG324, a hole that nothing fills.
    """

    def refuse(pair: object) -> None:
        raise InvalidInputError("TG323", f"not a sample: {pair!r}"[:90], where=where)

    found = []
    for series in _matrix(text, where):
        labels = series.get("metric")
        labels = labels if isinstance(labels, dict) else {}
        found.append((labels, samples_of(series.get("values"), refuse)))
    step = min(filter(None, (_distance(samples) for _, samples in found)), default=None)
    summed: dict[str, dict[float, float]] = {}
    for labels, values in found:
        samples = values
        if step is not None and str(labels.get("__name__", "")).endswith(_COUNTERS):
            samples = rates_of_counter(values, step)
        model = summed.setdefault(str(labels.get("model", "")), {})
        for at_s, rate in samples:
            model[at_s] = model.get(at_s, 0.0) + rate
    if not any(summed.values()):
        raise InvalidInputError("TG323", "the answer holds no samples", where=where)
    records = {
        name: [RateRecord(at_s, max(0.0, rate)) for at_s, rate in sorted(values.items())]
        for name, values in summed.items()
        if values
    }
    return build_histories(records, zone, where, step)


def rates_of_counter(samples: Sequence[Sample], step_s: float) -> list[Sample]:
    """Rates between samples of a counter, each at the begin of its step.

    A counter that falls was reset by a restart: what it shows afterwards came after that. Where
    samples are missing the counter still tells how much came meanwhile.
    """
    result = []
    for (begin, before), (end, after) in pairwise(samples):
        if end > begin:
            rate = (after - before if after >= before else after) / (end - begin)
            steps = max(1, round((end - begin) / step_s))
            result += [(begin + index * step_s, rate) for index in range(steps)]
    return result


def _matrix(text: str, where: str) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidInputError("TG323", f"not JSON: {problem}", where=where) from problem
    if isinstance(document, dict) and document.get("status") == "error":
        raise InvalidInputError(
            "TG323", f"Prometheus answered: {document.get('error', 'an error')}", where=where
        )
    data = document.get("data") if isinstance(document, dict) else None
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != "matrix":
        raise InvalidInputError(
            "TG323",
            "not the answer of a range query",
            where=where,
            fix="Save the answer of /api/v1/query_range; it has `resultType` `matrix`.",
        )
    return [item for item in result or [] if isinstance(item, dict)]


def samples_of(values: object, faulty: Callable[[object], None]) -> list[Sample]:
    """(seconds since 1970, value) of one series, in order of time; NaN is a hole.

    Args:
        values: of the answer, a list of pairs.
        faulty: told of what is no pair of numbers; it may raise, else the pair is left out.
    """
    samples = []
    for pair in values if isinstance(values, list) else []:
        try:
            at_s, value = float(pair[0]), float(pair[1])
        except (TypeError, ValueError, IndexError, KeyError):
            faulty(pair)
            continue
        if math.isfinite(value) and math.isfinite(at_s):
            samples.append((at_s, value))
    return sorted(samples)


def _distance(samples: Sequence[Sample]) -> float | None:
    gaps = sorted(b[0] - a[0] for a, b in pairwise(samples))
    return gaps[len(gaps) // 2] if gaps and gaps[len(gaps) // 2] > 0.0 else None
