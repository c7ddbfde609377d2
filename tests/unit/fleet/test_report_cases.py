"""The report's tables of other cases and of what was observed."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.capacity import capacity_input, machine
from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import PlanFile
from tritongen.fleet.capacity.sizing import CapacityInput, plan_capacity
from tritongen.fleet.capacity.what_if import parse_what_if
from tritongen.fleet.report.other_cases import case_rows, reality
from tritongen.model.business import Business
from tritongen.model.intent import ModelIntent

LARGE = machine("c7a.xlarge")


@cache
def inputs(least: int = 2) -> CapacityInput:
    model = ModelIntent(rate=200.0, peak_rate=400.0, latency_ms=60.0)
    return capacity_input({"ocr": (12.0, model)}, Business(min_replicas=least), machines=[LARGE])


def test_the_rows_are_what_plan_says_of_each_case() -> None:
    rows = {row.case: row for row in case_rows(inputs())}
    assert list(rows) == ["as planned", "rate × 2", "rate × 3", "one replica less"]
    for case in ("rate × 2", "rate × 3"):
        best = parse_what_if(case).plan(inputs()).best
        assert best is not None
        assert rows[case].usd == f"{best.usd_per_month:,.2f}"
        assert rows[case].outcome == "the goals hold"
    assert float(rows["rate × 3"].usd) > float(rows["as planned"].usd)


def test_a_case_that_cannot_be_is_told() -> None:
    model = ModelIntent(rate=1.0, latency_ms=60.0)
    rows = case_rows(capacity_input({"ocr": (4.0, model)}, machines=[LARGE]))
    assert rows[-1].case == "one replica less"
    assert rows[-1].outcome == "the plan has 1 replica"
    assert rows[-1].usd == "–"


SEEN: dict[str, Any] = {
    "source": ["host:8000"],
    "models": [
        {
            "name": "ocr",
            "rate": {
                "mean": 250.0, "peak": 1500.0, "intent_average": 1.0, "intent_peak": None,
                "expected_now": None,
            },
            "failure_share": 0.01, "busy": 0.5,
        },
        {
            "name": "new",
            "rate": {"mean": 0.5, "peak": 1.0, "intent_average": None, "intent_peak": 2.0},
            "failure_share": 0.0, "busy": None,
        },
    ],
    "findings": [
        {"code": "TG982", "severity": "warning", "message": "peak of 1500/s", "model": "ocr"},
        {"code": "TG355", "severity": "warning", "message": "old", "model": ""},
    ],
}  # fmt: skip


def test_what_was_observed_stands_beside_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    path.write_text(json.dumps(SEEN))
    found = reality(path, PlanFile("tool", plan_capacity(inputs()), 0))
    ocr, new = found.rows
    assert (ocr.rate, ocr.planned_rate) == ("250/s", "200/s")
    assert (ocr.peak, ocr.planned_peak) == ("1,500/s", "400/s")
    assert (ocr.busy, ocr.failed) == ("50%", "1.00%")
    assert (new.planned_rate, new.planned_peak, new.busy) == ("–", "2/s", "–")
    assert found.source == "host:8000"
    assert found.findings == (
        ("TG982", "ocr: peak of 1500/s", "warning"), ("TG355", "old", "warning"),
    )  # fmt: skip
    unplanned = reality(path, None)
    assert unplanned.rows[0].planned_rate == "1/s"


@pytest.mark.parametrize(
    "damage",
    [
        lambda seen: seen.pop("models"),
        lambda seen: seen.update(models=[{}]),
        lambda seen: seen.update(models=3),
        lambda seen: seen["models"][0].update(rate=None),
        lambda seen: seen["models"][0]["rate"].update(mean="much"),
        lambda seen: seen["models"][0].update(name=[]),
        lambda seen: seen.update(findings=[1]),
    ],
)
def test_another_file_is_refused(tmp_path: Path, damage: Callable[[Any], object]) -> None:
    seen = json.loads(json.dumps(SEEN))
    damage(seen)
    path = tmp_path / "seen.json"
    path.write_text(json.dumps(seen))
    with pytest.raises(InvalidInputError) as caught:
        reality(path, PlanFile("tool", plan_capacity(inputs()), 0))
    assert caught.value.code == "TG980"
    assert caught.value.where == str(path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("{")
    for name, code in (("nowhere", "TG003"), ("text", "TG980")):
        with pytest.raises(InvalidInputError) as caught:
            reality(tmp_path / name, None)
        assert caught.value.code == code
