"""Recorded traffic, read from a CSV or from the JSON answer of a Prometheus range query.

A CSV has one line a step. The first column is `time`: seconds or milliseconds since 1970, or ISO
8601 with or without an offset. Then either `rate` (requests per second) or `requests` (in the
step), with an optional column `model`; or one column a model, holding rates.

Series of Prometheus are told apart by their label `model`; several series of one model (versions,
replicas) are added. Triton's counters are turned into rates, and their falls to zero at a restart
are seen; anything else counts as requests per second already.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import pairwise
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.fleet.traffic.rate_profile import History
from tritongen.fleet.traffic.traffic_history import (
    Sample,
    build_histories,
    local_seconds,
    usual_gap,
)
from tritongen.model.printable import cell_text
from tritongen.triton.statistics import MAX_COUNTER

_MAX_FAULTS = 10
# Numbers from here on are milliseconds since 1970: as seconds they would lie in the year 5138.
_MILLISECONDS = 1e11
_VALUES = ("rate", "requests")
_COUNTERS = ("_success", "_count", "_total", "_failure")


def parse_table(text: str, zone: tzinfo, where: str, models: Sequence[str] = ()) -> History:
    """Reads a CSV.

    Args:
        text: of the file.
        zone: of times without an offset, and of the plan.
        where: the file, for messages.
        models: names that columns may have.

    Raises:
        InvalidInputError: TG323 with the first faulty lines, TG324 a hole that nothing fills.
    """
    rows = list(csv.reader(io.StringIO(text)))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not header or header[0] not in {"time", "timestamp", "ts"} or len(header) < 2:
        raise InvalidInputError(
            "TG323",
            "the first line must be `time,rate`, `time,requests`, `time,model,rate` or "
            "`time,` and names of models",
            where=where,
        )
    reader = _TableReader(header, rows[0], zone, models, where)
    for number, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row):
            reader.line(number, row)
    return reader.history()


class _TableReader:
    """Collects records and faults line by line."""

    def __init__(
        self,
        header: list[str],
        names: list[str],
        zone: tzinfo,
        models: Sequence[str],
        where: str,
    ) -> None:
        self._zone, self._where = zone, where
        self._faults: list[str] = []
        self._records: dict[str, list[Sample]] = {}
        self._seen: dict[str, float] = {}
        self._width = len(header)
        self._model = header.index("model") if "model" in header else None
        found = [index for index, name in enumerate(header) if name in _VALUES]
        self._counts = bool(found) and header[found[0]] == "requests"
        self._columns: dict[int, str] = {found[0]: ""} if found else {}
        if not found:
            self._columns = {
                index: cell_text(names[index].strip()) for index in range(1, len(header))
            }
            unknown = [name for name in self._columns.values() if models and name not in models]
            if unknown:
                self._faults.append(
                    f"column {unknown[0]!r} is no model; there are {', '.join(models)}"
                )

    def line(self, number: int, row: list[str]) -> None:
        """Takes one line."""
        if len(row) != self._width:
            self._fault(number, f"{len(row)} cells, the first line has {self._width}")
            return
        model = cell_text(row[self._model].strip()) if self._model is not None else ""
        moment = self._time(number, row[0].strip(), model)
        if moment is None:
            return
        for index, name in self._columns.items():
            self._take(number, row[index].strip(), name or model, moment)

    def _time(self, number: int, text: str, model: str) -> float | None:
        before = self._seen.get(model)
        try:
            seconds = float(text)
            seconds = seconds / 1e3 if seconds >= _MILLISECONDS else seconds
        except ValueError:
            found = self._date(number, text, before)
            if found is None:
                return None
            seconds = found
        if not math.isfinite(seconds) or seconds < 0.0:
            self._fault(number, f"{text!r} is not a time")
            return None
        if before is not None and seconds <= before:
            self._fault(number, f"{text} does not come after the line before it")
            return None
        self._seen[model] = seconds
        return seconds

    def _date(self, number: int, text: str, before: float | None) -> float | None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self._fault(number, f"{text!r} is not a time")
            return None
        if moment.tzinfo is not None:
            return moment.timestamp()
        seconds = local_seconds(moment, self._zone, before)
        if seconds is None:
            self._fault(number, f"{text} does not exist in {self._zone}: clocks went forward")
        return seconds

    def _take(self, number: int, text: str, model: str, moment: float) -> None:
        if not text or text.lower() in {"nan", "null", "none", "-"}:
            return  # a hole
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0.0:
            self._fault(number, f"{text!r} is not a rate of at least 0")
            return
        self._records.setdefault(model, []).append((moment, value))

    def _fault(self, number: int, what: str) -> None:
        self._faults.append(f"line {number}: {what}")

    def history(self) -> History:
        """What was collected, on an even clock."""
        if self._faults or not self._records:
            count = len(self._faults)
            raise InvalidInputError(
                "TG323",
                f"{count} faults" if self._faults else "there are no records",
                where=self._where,
                details=[*self._faults[:_MAX_FAULTS], *(["…"] if count > _MAX_FAULTS else [])],
            )
        if not self._counts:
            return build_histories(self._records, self._zone, self._where)
        return build_histories(_as_rates(self._records), self._zone, self._where)


def _as_rates(records: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
    """Counts of a step become rates; the step is the usual distance of a model's records."""
    result = {}
    for model, series in records.items():
        step = usual_gap(series) or 1.0
        result[model] = [(at_s, count / step) for at_s, count in series]
    return result


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
    gaps = [usual_gap(samples) for _, samples in found]
    step = min((gap for gap in gaps if gap > 0.0), default=None)
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
        name: [(at_s, max(0.0, rate)) for at_s, rate in sorted(values.items())]
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
    """(seconds since 1970, value) of one series, in order of time; what no counter shows is a hole.

    Args:
        values: of the answer, a list of pairs.
        faulty: told of what is no pair of numbers; it may raise, else the pair is left out.
    """
    samples = []
    for pair in values if isinstance(values, list) else []:
        try:
            at_s, value = float(pair[0]), float(pair[1])
        except (ArithmeticError, LookupError, TypeError, ValueError):
            faulty(pair)
            continue
        if abs(value) <= MAX_COUNTER and 0.0 <= at_s < _MILLISECONDS:
            samples.append((at_s, value))
    return sorted(samples)
