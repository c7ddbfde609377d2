"""Accuracy against throughput against cost: what each variant of a model gives and takes."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritongen.fleet.catalogue import Machine
from tritongen.model.variants import ORIGINAL, Speedup, Variant, Verdict, score_text
from tritongen.pages import LEFT, RIGHT, TOP, WIDTH, Axis, Chart, Figure, linear_axis

_LINE = 16.0
# Widths of a letter and of the gap between a point and its words, in the drawing's units.
_LETTER, _GAP = 6.8, 11.0
_MIN_LOSS = 1e-3
_FAR = 4.0
# The original's time differs by more from run to run than within one.
_SAME_RUN = 1.02
# Lines that words may stand beside their point, nearest first.
_SHIFTS = (0, -1, 1, -2, 2, -3, 3, -4, 4, 5, 6, 7)
_WEAK = frozenset({Verdict.REFUSED, Verdict.SLOWER, Verdict.NO_GAIN})


@dataclass(frozen=True, slots=True)
class VariantOption:
    """One model to choose from.

    Attributes:
        name: of the variant, or `ORIGINAL`.
        loss: of the metric, as its threshold counts it; below 0 it is better than the original,
            infinite where it has no bound.
        score: the metric in words.
        rate: rows a second of one core, with its interval.
        reason: of its verdict.
        refused: whether it loses more than it may.
        weak: whether nothing speaks for it: refused, slower, or no faster.
        served: whether it is what the repository serves.
    """

    name: str
    loss: float
    score: str
    rate: tuple[float, float, float]
    reason: str
    refused: bool
    weak: bool
    served: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """A machine, and how much longer work takes on it than where it was measured."""

    machine: Machine
    slowdown: float = 1.0

    def cost(self, rate: float) -> str:
        """USD for a million rows at so many a second of one core, every core busy."""
        usd = self.machine.usd_per_hour / 3600.0 * self.slowdown / (rate * self.machine.cores) * 1e6
        return f"${usd:.2g} a million"


@dataclass(frozen=True, slots=True)
class _Scale:
    """What all that is drawn has in common, whichever runs it comes from.

    Attributes:
        point: (rows, threads) of an execution.
        metric: that scores them; empty where all are proven equal.
        threshold: greatest loss accepted.
        pairs: variants with their speed at that point.
    """

    point: tuple[int, int]
    metric: str
    threshold: float | None
    pairs: tuple[tuple[Variant, Speedup], ...]

    @property
    def rates(self) -> tuple[float, float, float]:
        """Rows per second of one core for the original: in its slowest run, median, fastest."""
        rows, threads = self.point
        times = [speed.original_ms for _, speed in self.pairs]
        work = rows * 1e3 / threads
        return work / max(times), work / statistics.median(times), work / min(times)


def tradeoff(
    model: str, variants: Sequence[Variant], served: str, machine: Priced | None
) -> Chart | None:
    """The plot of a model's variants; None where no variant was measured.

    Args:
        model: its name.
        variants: kept and refused ones.
        served: name of the variant in the repository, `ORIGINAL` for the model as it is.
        machine: whose price makes a cost of a rate, None without a plan.
    """
    scale = _scale(variants, served)
    if scale is None:
        return None
    options = _options(scale, served)
    figure = Figure(f"Accuracy, throughput and cost of {model}'s variants")
    x = linear_axis(max(one.rate[2] for one in options) * 1.3, LEFT, WIDTH - RIGHT, wanted=5)
    y = _loss_axis([one.loss for one in options], scale.threshold, figure.bottom)
    if scale.threshold is not None:
        _threshold(figure, x, y, scale.threshold)
    figure.axes(x, y, "rows per second of one core", "loss of accuracy")
    _draw(figure, x, y, options, machine)
    refused = tuple(f"{one.name} refused: {one.reason}" for one in options if one.refused)
    return Chart(
        f"Accuracy, throughput and cost of {model}'s variants",
        _caption(scale, machine),
        figure.svg(),
        (("best", "served"), ("fine", "may be served"), ("poor", "refused or no gain")),
        (*refused, *_left_out(variants, scale)),
    )


def _scale(variants: Sequence[Variant], served: str) -> _Scale | None:
    """What the served variant, else most of them, were measured with; None without any."""
    timed = [one for one in variants if _times(one)]
    if not timed:
        return None
    first = next((one for one in timed if one.name == served), None)
    points = [_point(_times(one)[0]) for one in ([first] if first is not None else timed)]
    point = max(points, key=points.count)
    shown = [(one, speed) for one in timed for speed in _times(one) if _point(speed) == point]
    scored = [one.accuracy for one, _ in shown if one.accuracy is not None]
    gates = [(one.metric, one.threshold) for one in scored]
    if first is not None and first.accuracy is not None:
        gates = [(first.accuracy.metric, first.accuracy.threshold)]
    metric, threshold = max(gates, key=gates.count) if gates else ("", None)
    pairs = {one.name: (one, speed) for one, speed in reversed(shown) if _fits(one, metric)}
    return _Scale(point, metric, threshold, tuple(reversed(pairs.values())))


def _times(one: Variant) -> list[Speedup]:
    """What was measured of a variant; the point that its verdict rests on comes first."""
    found = [one.speedup, *one.speedups]
    return [speed for speed in found if speed is not None and speed.original_ms > 0]


def _point(speed: Speedup) -> tuple[int, int]:
    return speed.batch, max(speed.threads, 1)


def _fits(one: Variant, metric: str) -> bool:
    return one.accuracy is None or one.accuracy.metric == metric


def _left_out(variants: Sequence[Variant], scale: _Scale) -> Iterator[str]:
    """Variants of other runs that this scale would show in a false place, and why."""
    shown = {one.name for one, _ in scale.pairs}
    for one in variants:
        times = _times(one)
        if one.name in shown or not times:
            continue
        if all(_point(speed) != scale.point for speed in times):
            why = f"measured with {_words_of(_point(times[0]))}"
        else:
            why = f"scored by {one.accuracy.metric if one.accuracy is not None else 'nothing'}"
        yield f"{one.name} is not drawn: {why}"


def _words_of(point: tuple[int, int]) -> str:
    rows, threads = point
    return f"{rows} row{'' if rows == 1 else 's'} on {threads} thread{'' if threads == 1 else 's'}"


def _options(scale: _Scale, served: str) -> list[VariantOption]:
    """The original and every variant."""
    slowest, base, fastest = scale.rates
    metric = next((one.accuracy for one, _ in scale.pairs if one.accuracy is not None), None)
    score = f"{metric.metric} {score_text(metric.original)}" if metric is not None else ""
    rate = (base, slowest, fastest)
    options = [VariantOption(ORIGINAL, 0.0, score, rate, "", False, False, served == ORIGINAL)]
    for one, speed in scale.pairs:
        accuracy = one.accuracy
        lost = 0.0 if accuracy is None else accuracy.drop
        told = f"{accuracy.metric} {score_text(accuracy.variant)}" if accuracy else "proven equal"
        options.append(
            VariantOption(
                name=one.name,
                loss=math.inf if lost is None else lost,
                score=told,
                rate=(base * speed.value, base * speed.low, base * speed.high),
                reason=one.reason,
                refused=one.verdict is Verdict.REFUSED,
                weak=one.verdict in _WEAK,
                served=one.name == served,
            )
        )
    return options


def _loss_axis(losses: Sequence[float], threshold: float | None, bottom: float) -> Axis:
    """Losses downwards: what is higher is more accurate."""
    finite = [loss for loss in losses if math.isfinite(loss)]  # the original's 0 at least
    most = max(*finite, (threshold or 0.0) * 1.6, _MIN_LOSS)
    if threshold:
        # Far beyond the threshold a loss is told in words; near it the eye must tell them apart.
        most = min(most, threshold * _FAR)
    room = most * 0.18
    plain = linear_axis(most, TOP, bottom, wanted=4)
    low = min(*finite, 0.0) - room
    ticks = [(value, text) for value, text in plain.ticks if value <= most + room]
    return Axis(low, most + room, TOP, bottom, tuple(ticks))


def _threshold(figure: Figure, x: Axis, y: Axis, threshold: float) -> None:
    at = y.at(threshold)
    figure.box(x.begin, at, x.end - x.begin, figure.bottom - at, "area")
    figure.whisker(x.begin, at, x.end, at, "bound")
    figure.text(x.begin + 8, figure.bottom - 8, f"loses more than {threshold:g}: refused")


def _draw(
    figure: Figure, x: Axis, y: Axis, options: Sequence[VariantOption], machine: Priced | None
) -> None:
    """Points with their intervals, the words beside them moved apart where they would meet."""
    places = [(x.at(one.rate[0]), y.at(min(one.loss, y.high))) for one in options]
    words = [_words(one, machine) for one in options]
    room = _Room((x.begin, x.end), (TOP, figure.bottom), places)
    # The sentence about the threshold stands in the corner.
    room.take(x.begin, x.begin + 28 * _LETTER, figure.bottom - 8)
    for one, (across, down) in zip(options, places, strict=True):
        figure.whisker(x.at(one.rate[1]), down, x.at(one.rate[2]), down, "whisker soft")
        tip = ", ".join(part for part in (one.name, one.score, one.reason) if part)
        figure.dot(across, down, _style(one), tip, 8.0 if one.served else 6.0)
    # The first to be placed stand nearest: what is served, and what it is held against.
    order = sorted(range(len(options)), key=lambda n: (not options[n].served, n))
    for number in order:
        across, down = places[number]
        width = len(words[number]) * _LETTER
        begin, level = room.place(across, down, width)
        left = begin + width <= across
        if abs(level - down) > _LINE:
            end = begin + width if left else max(begin, across)
            figure.whisker(across, down, end, level - 4.0, "whisker soft")
        figure.text(
            begin + width if left else begin, level, words[number],
            anchor="end" if left else "start",
            style="note" if options[number].served else "axis",
        )  # fmt: skip


def _words(one: VariantOption, machine: Priced | None) -> str:
    lost = ""
    if one.refused:
        lost = f"loses {one.loss:.2g}" if math.isfinite(one.loss) else "loses without bound"
    cost = machine.cost(one.rate[0]) if machine is not None and one.rate[0] > 0 else ""
    return " · ".join(part for part in (one.name, lost, cost) if part)


class _Room:
    """Free room for words among points and other words."""

    def __init__(
        self,
        across: tuple[float, float],
        down: tuple[float, float],
        points: Sequence[tuple[float, float]],
    ) -> None:
        self._across, self._down = across, down
        # (left, right, base line): a point takes a line's height, too.
        self._taken = [(x - 7.0, x + 7.0, y + 5.0) for x, y in points]

    def take(self, begin: float, end: float, level: float) -> None:
        """Words stand there."""
        self._taken.append((begin, end, level))

    def place(self, x: float, y: float, width: float) -> tuple[float, float]:
        """Left end and base line of words beside a point, as near as they fit."""
        middle = min(max(x - width / 2, self._across[0]), self._across[1] - width)
        sides = (x + _GAP, x - _GAP - width, middle)
        free = (
            (begin, y + 5.0 + shift * _LINE)
            for shift in _SHIFTS
            for begin in sides
            if self._fits(begin, width, y + 5.0 + shift * _LINE)
        )
        begin, level = next(free, (middle, y + 5.0))
        self.take(begin, begin + width, level)
        return begin, level

    def _fits(self, begin: float, width: float, level: float) -> bool:
        inside = self._across[0] <= begin and begin + width <= self._across[1]
        return (
            inside
            and self._down[0] + 10.0 <= level <= self._down[1] - 4.0
            and all(
                abs(level - other) >= _LINE or begin + width < left or begin > right
                for left, right, other in self._taken
            )
        )


def _style(one: VariantOption) -> str:
    if one.served:
        return "dot best"
    return "dot poor" if one.weak else "dot fine"


def _caption(scale: _Scale, machine: Priced | None) -> str:
    point = _words_of(scale.point)
    slowest, _, fastest = scale.rates
    runs = ""
    if fastest > slowest * _SAME_RUN:
        runs = " They come from several runs; the original's bar is what it did in each."
    cost = (
        f"Cost: a million rows on {machine.machine.name} with every core busy."
        if machine is not None
        else "Run `tritongen plan` to see what each costs."
    )
    return (
        f"Right and high is good. Measured in pairs with the original, {point}; bars are 95 % "
        f"intervals.{runs} {cost}"
    )
