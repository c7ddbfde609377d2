"""The tuning as one HTML page, without script and without a network."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritongen.model.printable import printable_page
from tritongen.pages.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, linear_axis
from tritongen.planner.context import show_figure
from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import ClosedLoop, Loop, OpenLoop
from tritongen.resources import template_text
from tritongen.system.files import write_atomic
from tritongen.tune.search.candidate_report import Evaluated
from tritongen.tune.tune_result import TunedModel, TuneReport, gain_sentence, rates_sentence

_TEMPLATE = "tune.html.j2"
_BAR, _ROW = 14, 26
_LABELS = 130


@dataclass(frozen=True, slots=True)
class Section:
    """One model on the page.

    Attributes:
        model: its result.
        gain: against Triton's own completion, empty when not known.
        rates: latencies at rates, empty when not known.
        scatter: throughput against latency, as SVG; empty when nothing was measured.
        bars: prediction beside measurement, as SVG; empty when nothing was measured.
        rows: cells of the table, with the row's class.
    """

    model: TunedModel
    gain: str
    rates: str
    scatter: str
    bars: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def write_page(report: TuneReport, path: Path) -> None:
    """The page, in one step.

    Raises:
        EnvironmentProblem: TG004 or TG005, it cannot be written.
    """
    write_atomic(path, html_page(report).encode())


def html_page(report: TuneReport) -> str:
    """The page."""
    from jinja2 import Environment  # only pages need it

    jinja = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    sections = [_section(model) for model in report.models]
    page = jinja.from_string(template_text(_TEMPLATE)).render(report=report, sections=sections)
    return printable_page(page)


def _section(model: TunedModel) -> Section:
    measured = [row for row in model.rows if row.throughput is not None]
    return Section(
        model,
        gain_sentence(model),
        rates_sentence(model),
        _scatter(model, measured) if measured else "",
        _bars(measured) if measured else "",
        tuple((row.fate, cells(row)) for row in model.rows),
    )


def cells(row: Evaluated) -> tuple[str, ...]:
    """One candidate in a table: name, load, predicted, measured, ms, times, fate, why not."""
    predicted = row.predicted
    name = f"{row.candidate.key} (Triton's own)" if row.fate == "baseline" else row.candidate.key
    return (
        name,
        load_text(row.load),
        show_figure(predicted.throughput_per_s) if predicted is not None else "",
        throughput_text(row),
        span(row.latency, 1e3),
        str(row.rounds or ""),
        row.fate if row.fate != "predicted" else "",
        row.why,
    )


def load_text(load: Loop) -> str:
    """The load for people."""
    if isinstance(load, ClosedLoop):
        return f"{load.concurrency} client{'s' if load.concurrency > 1 else ''}"
    return f"{load.rate_per_s:g}/s"


def throughput_text(row: Evaluated) -> str:
    """Measured requests per second; where a rate is sent, it is the rate, without an interval."""
    if isinstance(row.load, OpenLoop) and row.throughput is not None:
        return show_figure(row.throughput.value)
    return span(row.throughput, 1.0)


def span(interval: Interval | None, scale: float) -> str:
    """A figure with its interval; empty where there is none."""
    if interval is None or not math.isfinite(interval.value):
        return ""
    low, high = interval.low * scale, interval.high * scale
    return f"{show_figure(interval.value * scale)} ({show_figure(low)}–{show_figure(high)})"


def _scatter(model: TunedModel, rows: Sequence[Evaluated]) -> str:
    """Latency to the right, throughput upwards; the front as a line, the limit as a bar."""
    points = [(row, *_point(row)) for row in rows if math.isfinite(_point(row)[0])]
    limit = model.objective.limit_s
    # A limit far beyond every point would press them together.
    most_x = max(x for _, x, _ in points)
    if limit is not None and limit * 1e3 < 3.0 * most_x:
        most_x = max(most_x, limit * 1e3)
    across = linear_axis(1.05 * most_x, LEFT, WIDTH - RIGHT, show_figure)
    top = 1.05 * max(y for _, _, y in points)
    upwards = linear_axis(top, HEIGHT - BOTTOM, TOP, show_figure)
    latency = f"p{model.objective.percentile:g} latency, ms"
    parts = [*_axes(across, upwards, latency, "requests per second")]
    if limit is not None and limit * 1e3 <= across.high:
        x = across.at(limit * 1e3)
        parts.append(_line("limit", x, TOP, x, HEIGHT - BOTTOM))
    front = [_point(row) for row in model.front]
    path = " ".join(f"{across.at(x):.1f},{upwards.at(y):.1f}" for x, y in front)
    parts.append(f'<polyline class="front" points="{path}"/>')
    for row, x, y in points:
        parts += _mark(row, across.at(x), upwards.at(y))
    return _svg(parts, HEIGHT, "Throughput and latency of every candidate that was measured")


def _mark(row: Evaluated, x: float, y: float) -> list[str]:
    name = "Triton's own" if row.fate == "baseline" else row.candidate.key
    title = html.escape(f"{name}, {load_text(row.load)}: {_point(row)[1]:.0f}/s")
    dot = f'<circle class="{row.fate}" cx="{x:.1f}" cy="{y:.1f}" r="5">'
    parts = [f"{dot}<title>{title}</title></circle>"]
    if row.fate in {"best", "baseline"}:
        left = x > WIDTH - RIGHT - _LABELS
        anchor, offset = ("end", -9) if left else ("start", 9)
        parts.append(_text(x + offset, y - 7, name, anchor, "name"))
    return parts


def _text(x: float, y: float, words: str, anchor: str, style: str = "") -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{html.escape(words)}</text>"
    )


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _point(row: Evaluated) -> tuple[float, float]:
    """Milliseconds and requests per second, as measured."""
    if row.latency is None or row.throughput is None:
        return math.nan, math.nan
    return row.latency.value * 1e3, row.throughput.value


def _axes(across: Axis, upwards: Axis, below: str, beside: str) -> list[str]:
    bottom = HEIGHT - BOTTOM
    parts = []
    for value, label in upwards.ticks:
        y = upwards.at(value)
        parts.append(_line("grid", LEFT, y, WIDTH - RIGHT, y))
        parts.append(_text(LEFT - 8, y + 4, label, "end"))
    for value, label in across.ticks:
        x = across.at(value)
        parts.append(_line("tick", x, bottom, x, bottom + 5))
        parts.append(_text(x, bottom + 18, label, "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, below, "middle", "title"))
    turned = f'<g transform="translate(16 {(TOP + bottom) / 2:.0f}) rotate(-90)">'
    parts.append(f"{turned}{_text(0, 0, beside, 'middle', 'title')}</g>")
    return parts


def _bars(rows: Sequence[Evaluated]) -> str:
    """Throughput of each candidate: measured with its interval, predicted as a tick."""
    ordered = sorted(rows, key=lambda row: -_point(row)[1])
    highs = [row.throughput.high for row in ordered if row.throughput is not None]
    highs += [row.predicted.throughput_per_s for row in ordered if row.predicted is not None]
    height = TOP + len(ordered) * _ROW + BOTTOM
    across = linear_axis(max(highs), _LABELS, WIDTH - RIGHT, show_figure)
    bottom = height - BOTTOM
    parts = []
    for value, label in across.ticks:
        x = across.at(value)
        parts.append(_line("grid", x, TOP, x, bottom))
        parts.append(_text(x, bottom + 18, label, "middle"))
    for number, row in enumerate(ordered):
        parts += _bar(row, across, TOP + number * _ROW + (_ROW - _BAR) / 2)
    middle = (_LABELS + WIDTH - RIGHT) / 2
    parts.append(_text(middle, height - 8, "requests per second", "middle", "title"))
    return _svg(parts, height, "Predicted and measured throughput")


def _bar(row: Evaluated, across: Axis, top: float) -> list[str]:
    interval = row.throughput
    if interval is None:
        return []
    name = "Triton's own" if row.fate == "baseline" else row.candidate.key
    begin, centre = across.at(0.0), top + _BAR / 2
    value, low, high = (across.at(v) for v in (interval.value, interval.low, interval.high))
    place = f'x="{begin:.1f}" y="{top:.1f}" width="{value - begin:.1f}" height="{_BAR}"'
    parts = [
        _text(begin - 8, centre + 4, name, "end"),
        f'<rect class="{row.fate}" {place}/>',
        _line("interval", low, centre, high, centre),
    ]
    if row.predicted is not None:
        x = across.at(row.predicted.throughput_per_s)
        parts.append(_line("forecast", x, top - 4, x, top + _BAR + 4))
    return parts


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
