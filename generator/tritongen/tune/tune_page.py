"""The tuning as one HTML page, without script and without a network."""

import math
from collections.abc import Sequence
from pathlib import Path

from tritongen.pages import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Chart,
    Figure,
    linear_axis,
    render_page,
)
from tritongen.planner.context import show_figure
from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import ClosedLoop, Loop, OpenLoop
from tritongen.system.files import write_atomic
from tritongen.tune.search.standings import Measurement
from tritongen.tune.search.tuner import Evaluated
from tritongen.tune.tune_result import (
    TunedModel,
    TuneReport,
    gain_sentence,
    gpu_sentence,
    rates_sentence,
)

_BAR, _ROW = 14, 26
_LABEL_LEFT = 130
# Classes of the page's CSS for the two candidates that stand out.
_STYLES = {"best": "best", "baseline": "base"}


def write_page(report: TuneReport, path: Path) -> None:
    """The page, in one step.

    Raises:
        EnvironmentProblem: TG004 or TG005, it cannot be written.
    """
    write_atomic(path, html_page(report).encode())


def html_page(report: TuneReport) -> str:
    """The page."""
    return render_page("tune", report=report, sections=[_section(one) for one in report.models])


def _section(model: TunedModel) -> dict[str, object]:
    """What the page's template shows of one model; empty where nothing is known.

    Rows of a table are pairs: the candidate's fate, and the cells.
    """
    measured = [row for row in model.rows if row.measured is not None]
    rows = [(row.fate, cells(row)) for row in model.rows]
    return {
        "model": model,
        "gain": gain_sentence(model),
        "rates": rates_sentence(model),
        "gpus": gpu_sentence(model),
        "charts": (_scatter(model, measured), _bars(measured)) if measured else (),
        "measured": [row for row in rows if row[0] != "predicted"],
        "predicted": [row for row in rows if row[0] == "predicted"],
    }


def cells(row: Evaluated) -> tuple[str, ...]:
    """One candidate in a table: name, load, predicted, measured, ms, times, fate, why not."""
    predicted, found = row.predicted, row.measured
    name = f"{row.candidate.key} (auto-completed)" if row.fate == "baseline" else row.candidate.key
    return (
        name,
        load_text(row.load),
        show_figure(predicted.throughput_per_s) if predicted is not None else "",
        throughput_text(found),
        span(found.latency_s, 1e3) if found is not None else "",
        str(found.rounds) if found is not None else "",
        row.fate if row.fate != "predicted" else "",
        row.why,
    )


def load_text(load: Loop) -> str:
    """The load for people."""
    if isinstance(load, ClosedLoop):
        return f"{load.concurrency} client{'s' if load.concurrency > 1 else ''}"
    return f"{load.rate_per_s:g}/s"


def throughput_text(found: Measurement | None) -> str:
    """Measured requests per second; where a rate is sent, it is the rate, without an interval."""
    if found is None:
        return ""
    if isinstance(found.load, OpenLoop):
        return show_figure(found.throughput.value)
    return span(found.throughput, 1.0)


def span(interval: Interval, scale: float) -> str:
    """A figure with its interval; empty where it is none."""
    if not math.isfinite(interval.value):
        return ""
    low, high = interval.low * scale, interval.high * scale
    return f"{show_figure(interval.value * scale)} ({show_figure(low)}–{show_figure(high)})"


def _scatter(model: TunedModel, rows: Sequence[Evaluated]) -> Chart:
    """Latency to the right, throughput upwards; the front as a line, the limit as a bar."""
    title = "Throughput and latency of every candidate that was measured"
    figure = Figure(title)
    points = [(row, *_point(row)) for row in rows if math.isfinite(_point(row)[0])]
    limit = model.objective.limit_s
    # A limit far beyond every point would press them together.
    most_x = max(x for _, x, _ in points)
    if limit is not None and limit * 1e3 < 3.0 * most_x:
        most_x = max(most_x, limit * 1e3)
    across = linear_axis(1.05 * most_x, LEFT, WIDTH - RIGHT, show_figure)
    upwards = linear_axis(1.05 * max(y for _, _, y in points), figure.bottom, TOP, show_figure)
    percentile = f"p{model.objective.percentile:g} latency, ms"
    figure.axes(across, upwards, percentile, "requests per second")
    if limit is not None and limit * 1e3 <= across.high:
        x = across.at(limit * 1e3)
        figure.whisker(x, TOP, x, figure.bottom, "bound")
    front = [_point(row) for row in model.front]
    figure.path([(across.at(x), upwards.at(y)) for x, y in front], "line thin front")
    for row, x, y in points:
        _mark(figure, row, across.at(x), upwards.at(y))
    return Chart(
        title,
        "Left and high is good. The line joins those that none beats in both, measured each under "
        f"its own load{'; dashed: the goal' if limit is not None else ''}.",
        figure.svg(),
        (("best", "chosen"), ("base", "auto-completed"), ("fine", "others")),
    )


def _mark(figure: Figure, row: Evaluated, x: float, y: float) -> None:
    name = _name(row)
    tip = f"{name}, {load_text(row.load)}: {_point(row)[1]:.0f}/s"
    figure.dot(x, y, f"dot {_style(row)}", tip, 5.0)
    if row.fate in _STYLES:
        left = x > WIDTH - RIGHT - _LABEL_LEFT
        anchor, offset = ("end", -9) if left else ("start", 9)
        figure.text(x + offset, y - 7, name, anchor=anchor, style="note")


def _name(row: Evaluated) -> str:
    return "auto-completed" if row.fate == "baseline" else row.candidate.key


def _style(row: Evaluated) -> str:
    return _STYLES.get(row.fate, "fine")


def _point(row: Evaluated) -> tuple[float, float]:
    """Milliseconds and requests per second, as measured."""
    if row.measured is None:
        return math.nan, math.nan
    return row.measured.latency_s.value * 1e3, row.measured.throughput.value


def _bars(rows: Sequence[Evaluated]) -> Chart:
    """Throughput of each candidate: measured with its interval, predicted as a tick."""
    title = "Predicted and measured throughput"
    ordered = sorted(rows, key=lambda row: -_point(row)[1])
    highs = [row.measured.throughput.high for row in ordered if row.measured is not None]
    highs += [row.predicted.throughput_per_s for row in ordered if row.predicted is not None]
    figure = Figure(title, height=TOP + len(ordered) * _ROW + BOTTOM, left=_LABEL_LEFT)
    across = linear_axis(max(highs), _LABEL_LEFT, WIDTH - RIGHT, show_figure)
    figure.axes(across, Axis(0.0, 1.0, figure.bottom, TOP, ()), "requests per second", "")
    for number, row in enumerate(ordered):
        _bar(figure, row, across, TOP + number * _ROW + (_ROW - _BAR) / 2)
    return Chart(
        title,
        "Measured, with an interval at 95 %; the blue tick is the prediction.",
        figure.svg(),
        (("best", "chosen"), ("base", "auto-completed"), ("fine", "others")),
    )


def _bar(figure: Figure, row: Evaluated, across: Axis, top: float) -> None:
    if row.measured is None:
        return
    interval = row.measured.throughput
    begin, centre = across.at(0.0), top + _BAR / 2
    value, low, high = (across.at(v) for v in (interval.value, interval.low, interval.high))
    figure.text(begin - 8, centre + 4, _name(row), anchor="end")
    figure.box(begin, top, value - begin, _BAR, f"bar {_style(row)}")
    figure.whisker(low, centre, high, centre, "whisker")
    if row.predicted is not None:
        x = across.at(row.predicted.throughput_per_s)
        figure.whisker(x, top - 4, x, top + _BAR + 4, "forecast")
