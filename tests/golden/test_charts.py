"""The report's drawings of a plan and of measured configurations, reviewed as text."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from support.capacity import capacity_input
from tritongen.fleet.capacity.capacity_plan import CapacityPlan
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.catalogue import Machine
from tritongen.fleet.report import report_charts
from tritongen.fleet.report.report_charts import MeasuredConfiguration
from tritongen.model.business import Business, Grouping, Pattern, PatternKind
from tritongen.model.intent import ModelIntent
from tritongen.pages import Chart

CHARTS = Path(__file__).parent / "charts"
SMALL = Machine(
    "own", "small", "here", 2, 1, 4 << 30, "Intel Xeon Platinum 8370C", "avx512", "", 0, 0.08,
    "invented", "2026-01-01", 0.8,
)  # fmt: skip
LARGE = replace(
    SMALL, name="large", vcpus=8, cores=8, memory_bytes=16 << 30, cpu="AMD EPYC 9R14",
    usd_per_hour=0.3,
)  # fmt: skip
MACHINES = (SMALL, LARGE, replace(LARGE, name="fast", cpu="", usd_per_hour=0.5))
MEASURED = (
    MeasuredConfiguration("2 × 1", 900.0, 12.0, chosen=True),
    MeasuredConfiguration("1 × 1", 120.5, 3.25, baseline=True),
    MeasuredConfiguration("4 × 1", 700.0, 85.0),
)


@cache
def plan() -> CapacityPlan:
    week = Pattern(PatternKind.WEEKDAY_WEEKEND, busy=(9, 17), night=0.05)
    business = Business(pattern=week, grouping=Grouping.SEPARATE)
    models = {
        "ocr": (4.0, ModelIntent(rate=300.0, peak_rate=900.0, latency_ms=40.0)),
        "small": (2.0, ModelIntent(rate=5.0, latency_ms=60.0)),
    }
    return plan_capacity(capacity_input(models, business, machines=MACHINES), refined=3)


def week() -> Chart:
    return report_charts.week(plan(), plan().best, "UTC")


def costs() -> Chart:
    return report_charts.costs(plan())


def pareto() -> Chart:
    return report_charts.pareto(plan())


def tuning() -> Chart:
    return report_charts.tuning("ocr", MEASURED)


def test_one_option_has_no_front_and_nothing_measured_no_chart() -> None:
    assert report_charts.pareto(replace(plan(), options=plan().options[:1])) is None
    assert report_charts.tuning("ocr", ()) is None


def test_the_front_is_of_those_that_none_beats_in_both() -> None:
    points = [(3.0, 1.0), (1.0, 5.0), (2.0, 5.0), (2.0, 4.0), (4.0, 1.0)]
    assert report_charts._front(points) == [(1.0, 5.0), (2.0, 4.0), (3.0, 1.0)]


DRAWN: Mapping[str, Callable[[], Chart]] = {
    "costs": costs, "pareto": pareto, "tuning": tuning, "week": week,
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_drawing(name: str, update_golden: bool) -> None:
    chart = DRAWN[name]()
    drawn = chart.svg.replace("><", ">\n<")
    legend = "\n".join(f"{style}: {text}" for style, text in chart.legend)
    text = f"{chart.title}\n{chart.caption}\n{legend}\n{drawn}\n"
    expected = CHARTS / f"{name}.txt"
    if update_golden:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
