"""Pages that stand alone: one file of HTML, no script, nothing from a network; drawings as SVG.

Axes, lines, bars and words are styled by the page's own CSS.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from tritongen.model.printable import printable_page
from tritongen.resources import template_text

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(name: str, **values: object) -> str:
    """The text of a page; every value is escaped.

    Args:
        name: of its template below ``templates/pages``, without the suffix.
        values: by the names that the template uses.
    """
    return printable_page(_environment().get_template(f"pages/{name}.html.j2").render(values))


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader  # only pages need it

    return Environment(
        loader=FunctionLoader(template_text),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


# In the drawing's own units, which the page stretches to its width.
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 74, 34, 16, 50


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot with the words around it.

    Attributes:
        title: what it shows.
        caption: how to read it.
        svg: the drawing.
        legend: (style, words).
        notes: what the drawing marks or leaves out and has no room to say.
    """

    title: str
    caption: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to positions.

    Attributes:
        low: value at the begin.
        high: value at the end.
        begin: position of `low`.
        end: position of `high`.
        ticks: (value, label).
        logarithmic: whether positions follow the logarithm.
    """

    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The position of a value; values beyond the ends lie on them."""
        clipped = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(clipped / self.low) / math.log(self.high / self.low)
        else:
            share = (clipped - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


def plain_number(value: float) -> str:
    """A number with thousands apart and no more digits than it has."""
    return f"{value:,.10g}"


def linear_axis(
    high: float,
    begin: float,
    end: float,
    label: Callable[[float], str] = plain_number,
    *,
    wanted: int = 6,
) -> Axis:
    """From 0 to a round number that is not below the greatest value."""
    step = _round_step(max(high, 1e-9) / wanted)
    count = max(math.ceil(high / step - 1e-9), 1)
    ticks = tuple((step * index, label(step * index)) for index in range(count + 1))
    return Axis(0.0, step * count, begin, end, ticks)


def log_axis(
    low: float, high: float, begin: float, end: float, label: Callable[[float], str]
) -> Axis:
    """From a round number below the least value to one above the greatest."""
    low = max(low, 1e-9)
    high = max(high, low * 1.5)
    steps = (1.0, 2.0, 5.0) if high / low < 500 else (1.0,)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    values = [step * 10.0**power for power in powers for step in steps]
    first = max((v for v in values if v <= low * 1.001), default=values[0])
    last = min((v for v in values if v >= high * 0.999), default=values[-1])
    ticks = tuple((v, label(v)) for v in values if first <= v <= last)
    return Axis(first, last, begin, end, ticks, logarithmic=True)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(
        step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= rough * 0.999
    )


class Figure:
    """One drawing with a horizontal and a vertical axis."""

    def __init__(
        self, title: str, *, height: int = HEIGHT, left: int = LEFT, width: int = WIDTH
    ) -> None:
        """An empty drawing; `title` is what a screen reader says."""
        self.height, self.left, self.width = height, left, width
        self.parts: list[str] = [f"<title>{escape(title)}</title>"]

    @property
    def bottom(self) -> float:
        """Position of the horizontal axis."""
        return self.height - BOTTOM

    def axes(self, x: Axis, y: Axis, x_title: str, y_title: str) -> None:
        """Grid, labels and titles of both axes."""
        for value, text in _thinned(x, 46.0):
            at = x.at(value)
            self.whisker(at, TOP, at, self.bottom, "grid")
            self.text(at, self.bottom + 18, text, anchor="middle")
        for value, text in _thinned(y, 20.0):
            at = y.at(value)
            self.whisker(self.left, at, self.width - RIGHT, at, "grid")
            self.text(self.left - 8, at + 5, text, anchor="end")
        middle = (self.left + self.width - RIGHT) / 2
        self.text(middle, self.height - 8, x_title, anchor="middle", style="axis")
        if y_title:
            self.parts.append(
                f'<text class="axis" text-anchor="middle" transform="translate(14 '
                f'{(TOP + self.bottom) / 2:.1f}) rotate(-90)">{escape(y_title)}</text>'
            )

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", style: str = ""
    ) -> None:
        """Words at a position."""
        kind = f' class="{style}"' if style else ""
        self.parts.append(
            f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def area(self, corners: Sequence[tuple[float, float]], style: str) -> None:
        """A filled polygon."""
        self._joined("polygon", corners, style)

    def path(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """A line through positions."""
        if len(points) > 1:
            self._joined("polyline", points, style)

    def _joined(self, shape: str, points: Sequence[tuple[float, float]], style: str) -> None:
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<{shape} class="{style}" points="{joined}"/>')

    def dot(self, x: float, y: float, style: str, tip: str = "", radius: float = 3.5) -> None:
        """A point, with a text that appears when it is pointed at."""
        inside = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(
            f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{inside}</circle>'
        )

    def whisker(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """An interval."""
        self.parts.append(
            f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, style: str, tip: str = ""
    ) -> None:
        """A rectangle, with a text that appears when it is pointed at."""
        inside = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(
            f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
            f'height="{max(height, 0):.1f}">{inside}</rect>'
        )

    def svg(self) -> str:
        """The drawing."""
        inside = "".join(self.parts)
        return f'<svg viewBox="0 0 {self.width} {self.height}" role="img">{inside}</svg>'


def _thinned(axis: Axis, room: float) -> list[tuple[float, str]]:
    """The ticks that can be told apart, each with at least so much room."""
    kept: list[tuple[float, str]] = []
    last = -math.inf
    for value, text in axis.ticks:
        at = axis.at(value)
        if abs(at - last) >= room:
            kept.append((value, text))
            last = at
    return kept
