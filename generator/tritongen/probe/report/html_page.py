"""One self-contained HTML page with its plots: no script, nothing from a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.pages import (
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Chart,
    Figure,
    linear_axis,
    log_axis,
    render_page,
)
from tritongen.probe.report.json_document import Environment
from tritongen.probe.report.tables import (
    HEADERS,
    by_model,
    details,
    duration_text,
    load_text,
    rate_text,
    row,
    share_text,
)
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.measurement import LevelResult, LevelVerdict, Moment
from tritongen.queueing import ClosedLoop

_CURVES = ("p50", "p95", "p99")
# Ticks where every further nine takes the same room.
_FRACTIONS = (0.5, 0.9, 0.99, 0.999, 0.9999)
# As many as the page has colours that can be told apart.
_MAX_CURVES = 8
_LABEL_LEFT = 132
# A curve over time ends where so many moments in a row are without a request.
_GAP_SLOTS = 5


def charts_of(levels: Sequence[LevelResult]) -> list[Chart]:
    """Every plot that the levels of one model allow."""
    measured = [level for level in levels if level.latency.histogram.total]
    if not measured:
        return []
    found = [latency_against_throughput(measured), spectrum(measured)]
    if any(level.attribution for level in measured):
        found.append(attribution(measured))
    found += [timeline(level) for level in _chosen(measured)]
    opened = [level for level in measured if not isinstance(level.load, ClosedLoop)]
    if opened:
        found.append(lateness(opened))
    return found


def _chosen(levels: Sequence[LevelResult]) -> list[LevelResult]:
    """Levels for a timeline: the first, the middle and the last of many."""
    if len(levels) <= 3:
        return list(levels)
    return [levels[0], levels[len(levels) // 2], levels[-1]]


def _tick(value: float) -> str:
    """A duration on an axis: no more figures than needed."""
    if not value:
        return "0"
    for limit, divisor, unit in ((1e3, 1.0, "µs"), (1e6, 1e3, "ms")):
        if value < limit:
            return f"{value / divisor:g} {unit}"
    return f"{value / 1e6:g} s"


def latency_against_throughput(levels: Sequence[LevelResult]) -> Chart:
    """Percentiles against requests per second, each with both intervals."""
    figure = Figure("Latency against throughput")
    known = [(level, level.throughput) for level in levels if level.throughput]
    found = [level.latency.percentiles.get(key) for level, _ in known for key in _CURVES]
    values = [end for interval in found if interval for end in (interval.low, interval.high)]
    values = values or [level.latency.histogram.mean_ns / 1e3 for level in levels]
    fastest = max((rate.high for _, rate in known), default=1.0)
    x = linear_axis(fastest * 1.03, LEFT, WIDTH - RIGHT)
    # Room below the lowest curve for the names of the levels.
    y = log_axis(min(values) / 1.8, max(values), figure.bottom, TOP, _tick)
    figure.axes(x, y, "successful requests per second", "latency")
    for colour, key in enumerate(_CURVES):
        points, style = [], f"whisker c{colour}"
        for level, rate in known:
            interval = level.latency.percentiles.get(key)
            if interval is None:
                continue
            at = (x.at(rate.value), y.at(interval.value))
            points.append(at)
            figure.whisker(at[0], y.at(interval.low), at[0], y.at(interval.high), style)
            figure.whisker(x.at(rate.low), at[1], x.at(rate.high), at[1], style)
            shown = f"{key} {duration_text(interval.value)} {share_text(interval)}"
            tip = f"{load_text(level)}: {rate_text(rate)} requests/s, {shown}"
            figure.dot(*at, f"dot c{colour}", tip)
        figure.path(points, f"line c{colour}")
    _label_levels(figure, levels, x, y)
    return Chart(
        "Latency against throughput",
        "One point a level and percentile; crosses are 95 % intervals. Where the curve turns "
        "upwards more load only lengthens the queue.",
        figure.svg(),
        tuple((f"c{colour}", name) for colour, name in enumerate(_CURVES)),
    )


def _label_levels(figure: Figure, levels: Sequence[LevelResult], x: Axis, y: Axis) -> None:
    """The load beside the median of each level, where there is room for it."""
    placed: list[tuple[float, float]] = []
    for level in levels:
        median, rate = level.latency.percentiles.get("p50"), level.throughput
        if median is None or rate is None:
            continue
        at = (x.at(rate.value), y.at(median.value) + 20)
        if all(abs(at[0] - px) > 70 or abs(at[1] - py) > 16 for px, py in placed):
            text = _without_gaps(load_text(level))
            anchor = "end" if at[0] > WIDTH - 90 else "middle"
            figure.text(at[0], min(at[1], figure.bottom - 6), text, anchor=anchor, style="note")
            placed.append(at)


def _nines(fraction: float) -> float:
    """How many nines a fraction has: 0.9 → 1, 0.999 → 3."""
    return -math.log10(max(1.0 - fraction, 1e-9))


def spectrum(levels: Sequence[LevelResult]) -> Chart:
    """Latency by percentile; every further nine takes the same room."""
    curves = [(load_text(level), level.latency.histogram) for level in levels[:_MAX_CURVES]]
    most = max(histogram.total for _, histogram in curves)
    return _by_percentile(
        "Percentile spectrum",
        "How long the slowest requests take. A step tells of something that happens to that share "
        "of the requests: a queue, a pause, another model.",
        "latency",
        curves,
        min(max(_nines(1.0 - 1.0 / max(most, 10)), 1.0), 6.0),
        min(histogram.min_ns for _, histogram in curves) / 1e3,
        max(histogram.max_ns for _, histogram in curves) / 1e3,
    )


def _by_percentile(
    title: str,
    caption: str,
    y_title: str,
    curves: Sequence[tuple[str, Histogram]],
    deepest: float,
    low_us: float,
    high_us: float,
) -> Chart:
    """Durations by percentile, up to a number of nines."""
    figure = Figure(title)
    ticks = tuple((_nines(f), f"{f * 100:g} %") for f in _FRACTIONS if _nines(f) <= deepest + 0.01)
    x = Axis(0.0, deepest, LEFT, WIDTH - RIGHT, ticks)
    y = log_axis(low_us, high_us, figure.bottom, TOP, _tick)
    figure.axes(x, y, "percentile", y_title)
    for colour, (_, histogram) in enumerate(curves):
        points = [
            (x.at(_nines(fraction)), y.at(value / 1e3))
            for fraction, value in _sampled(histogram)
            if _nines(fraction) <= deepest
        ]
        figure.path(points, f"line c{colour}")
    legend = tuple((f"c{colour}", name) for colour, (name, _) in enumerate(curves))
    return Chart(title, caption, figure.svg(), legend)


def _sampled(histogram: Histogram) -> list[tuple[float, float]]:
    """Points of the spectrum; the last request alone has no percentile of its own."""
    points = [(0.0, float(histogram.min_ns))]
    points += [(f, v) for f, v in histogram.spectrum() if f < 1.0 - 0.5 / histogram.total]
    return points


def attribution(levels: Sequence[LevelResult]) -> Chart:
    """Where the mean request's time went, one bar a level."""
    shown = [level for level in levels if level.attribution][-12:]
    row = 30
    figure = Figure("Where the time goes", height=TOP + row * len(shown) + 56, left=_LABEL_LEFT)
    greatest = max(level.attribution.total_us for level in shown if level.attribution)
    x = linear_axis(greatest, _LABEL_LEFT, WIDTH - RIGHT, _tick, wanted=5)
    y = Axis(0.0, 1.0, figure.bottom, TOP, ())
    figure.axes(x, y, "mean latency", "")
    names: list[str] = []
    for index, level in enumerate(shown):
        found = level.attribution
        if found is None:
            continue
        top = TOP + row * index + 5
        figure.text(_LABEL_LEFT - 8, top + 15, _short(load_text(level)), anchor="end")
        begin = 0.0
        names = [name for name, _ in found.parts]
        for colour, (name, value) in enumerate(found.parts):
            tip = f"{name}: {duration_text(value) if value else 0}, {found.share(name):.0%}"
            left = x.at(begin)
            figure.box(left, top, x.at(begin + value) - left, row - 10, f"bar p{colour}", tip)
            begin += value
    return Chart(
        "Where the time goes",
        "The mean request, from when it was due to its answer. Network is what neither client nor "
        "server accounts for: the wire, the sockets, the server's front end.",
        figure.svg(),
        tuple((f"p{colour}", name) for colour, name in enumerate(names)),
    )


def _without_gaps(text: str) -> str:
    return text.replace(" poisson", "").replace(" constant", "")


def _short(text: str) -> str:
    text = _without_gaps(text)
    return text if len(text) <= 17 else text[:16] + "…"


def timeline(level: LevelResult) -> Chart:
    """Latency over time, the warm-up shaded; throughput as bars below."""
    figure = Figure(f"Timeline, {load_text(level)}")
    moments = [moment for moment in level.timeline if moment.seconds > 0]
    end = max((moment.at_s + moment.seconds for moment in moments), default=1.0)
    x = linear_axis(end, LEFT, WIDTH - RIGHT, lambda v: f"{v:g}")
    seen = [value for m in moments for value in (m.p50_us, m.p99_us) if value]
    split = figure.bottom - 70
    y = log_axis(min(seen, default=1.0), max(seen, default=10.0), split, TOP, _tick)
    figure.axes(x, y, "seconds", "latency")
    warm = max((m.at_s + m.seconds for m in moments if m.warmup), default=0.0)
    if warm:
        figure.box(x.begin, TOP, x.at(min(warm, end)) - x.begin, figure.bottom - TOP, "warm")
        if x.at(warm) - x.begin > 64:
            figure.text(x.begin + 5, TOP + 14, "warm-up", style="note")
    rates = [m.completed / m.seconds for m in moments]
    rate_y = linear_axis(max(rates, default=1.0), figure.bottom, split + 18, lambda v: f"{v:,.0f}")
    for moment, rate in zip(moments, rates, strict=True):
        left = x.at(moment.at_s)
        width = max(x.at(moment.at_s + moment.seconds) - left - 0.5, 0.5)
        style = "bar failed" if moment.failed else "bar rate"
        tip = f"{moment.at_s:.1f} s: {rate:,.0f} answers/s, {moment.failed} failed"
        figure.box(left, rate_y.at(rate), width, figure.bottom - rate_y.at(rate), style, tip)
    top = f"{max(rates, default=0.0):,.0f}/s"
    figure.text(LEFT - 8, split + 26, top, anchor="end", style="note")
    for colour, pick in ((0, "p50_us"), (2, "p99_us")):
        for stretch in _stretches(moments, pick):
            points = [(x.at(at), y.at(value)) for at, value in stretch]
            figure.path(points, f"line thin c{colour}")
            if len(points) == 1:
                figure.dot(*points[0], f"dot c{colour}", radius=1.5)
    return Chart(
        f"Timeline, {load_text(level)}",
        "Latency above, answers per second below, both in the order of time. The shaded warm-up "
        "is not part of the numbers.",
        figure.svg(),
        (("c0", "p50"), ("c2", "p99"), ("rate", "answers per second")),
    )


def _stretches(moments: Sequence[Moment], pick: str) -> list[list[tuple[float, float]]]:
    """(seconds, microseconds) of a curve, divided where for a while no request was due."""
    found: list[list[tuple[float, float]]] = []
    gap = _GAP_SLOTS * max((moment.seconds for moment in moments), default=0.0)
    for moment in moments:
        value = getattr(moment, pick)
        if not value:
            continue
        at = moment.at_s + moment.seconds / 2
        if not found or at - found[-1][-1][0] > gap:
            found.append([])
        found[-1].append((at, value))
    return found


def lateness(levels: Sequence[LevelResult]) -> Chart:
    """How much later than due requests were sent."""
    late = [(load_text(level), level.client.lateness) for level in levels]
    shown = [(name, one) for name, one in late if one.histogram.total][:_MAX_CURVES]
    return _by_percentile(
        "Lateness of the generator",
        "The schedule never moves: a request that leaves late still counts from when it was due. "
        "Where this is not far below the latency, the generator is part of what was measured.",
        "sent later than due",
        [(name, one.histogram) for name, one in shown],
        3.5,
        1.0,
        max(10.0, *(one.max_us for _, one in shown)),
    )


_BADGES = {
    LevelVerdict.VALID: "good",
    LevelVerdict.UNSTABLE: "unsure",
    LevelVerdict.TOO_FEW: "unsure",
    LevelVerdict.SATURATED: "bad",
    LevelVerdict.GENERATOR_LATE: "bad",
}


@dataclass(frozen=True, slots=True)
class ProbeSection:
    """One model on the page.

    Attributes:
        model: its name.
        rows: (cells of the table, badge of the verdict).
        notes: one list of lines a level.
        charts: its plots.
        answers: of a search.
    """

    model: str
    rows: list[tuple[tuple[str, ...], str]]
    notes: list[list[str]]
    charts: list[Chart]
    answers: list[str]


def html_page(
    environment: Environment,
    levels: Sequence[LevelResult],
    answers: Sequence[tuple[str, str]] = (),
) -> str:
    """The page.

    Args:
        environment: where and how it was measured.
        levels: what was measured.
        answers: (model, sentence) of a search.
    """
    sections = [
        ProbeSection(
            model,
            [(row(level), _BADGES[level.verdict]) for level in found],
            [details(level) for level in found],
            charts_of(found),
            [sentence for name, sentence in answers if name == model],
        )
        for model, found in by_model(levels).items()
    ]
    return render_page("probe", environment=environment, headers=HEADERS, sections=sections)
