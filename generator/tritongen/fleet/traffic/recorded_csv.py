"""Recorded traffic as CSV.

One line a step. The first column is `time`: seconds or milliseconds since 1970, or ISO 8601 with
or without an offset. Then either `rate` (requests per second) or `requests` (in the step), with an
optional column `model`; or one column a model, holding rates.
"""

import csv
import io
import math
from collections.abc import Sequence
from datetime import datetime, tzinfo
from itertools import pairwise

from tritongen.errors import InvalidInputError
from tritongen.fleet.traffic.traffic_history import (
    History,
    RateRecord,
    build_histories,
    local_seconds,
)
from tritongen.model.printable import cell_text

_MAX_FAULTS = 10
# Numbers from here on are milliseconds since 1970: as seconds they would lie in the year 5138.
_MILLISECONDS = 1e11
_VALUES = ("rate", "requests")


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
        self._records: dict[str, list[RateRecord]] = {}
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
        self._records.setdefault(model, []).append(RateRecord(moment, value))

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


def _as_rates(records: dict[str, list[RateRecord]]) -> dict[str, list[RateRecord]]:
    """Counts of a step become rates; the step is the usual distance of a model's records."""
    result = {}
    for model, series in records.items():
        gaps = sorted(b.at_s - a.at_s for a, b in pairwise(series))
        step = gaps[len(gaps) // 2] if gaps else 1.0
        result[model] = [RateRecord(record.at_s, record.rate / step) for record in series]
    return result
