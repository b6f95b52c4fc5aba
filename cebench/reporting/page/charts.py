"""Geometry of line charts: points of polylines and ticks, which the template draws as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 36
STYLES = 8
"""Colours and dashes of lines that the page's style sheet knows."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the picture's units, and the number there."""

    place: float
    text: str


@dataclass(frozen=True)
class Line:
    """One line: what it is, its `points` attribute and its style's number."""

    label: str
    points: str
    style: int


@dataclass(frozen=True)
class Chart:
    """Lines over common axes."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]

    @property
    def description(self) -> str:
        """What a person who does not see it should know."""
        return f"{self.title}: {self.y_label} over {self.x_label} of " + "; ".join(
            line.label for line in self.lines
        )


def line_chart(
    title: str,
    labels: tuple[str, str],
    series: Mapping[str, Points],
    styles: Mapping[str, int],
    limits: tuple[float, float, float, float] | None = None,
) -> Chart:
    """A chart of `series`, points that are not finite left out.

    Args:
        title: of the chart.
        labels: of the x and the y axis.
        series: label -> points (x, y), in the order of x.
        styles: label -> number of its style.
        limits: least and greatest x, then y; None: of the points.
    """
    kept = {
        label: [point for point in points if all(map(math.isfinite, point))]
        for label, points in series.items()
    }
    x0, x1, y0, y1 = limits or _limits([point for points in kept.values() for point in points])

    def x_place(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (x - x0) / (x1 - x0), 1)

    def y_place(y: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - y0) / (y1 - y0), 1)

    lines = [
        Line(label, " ".join(f"{x_place(x):g},{y_place(y):g}" for x, y in points), styles[label])
        for label, points in kept.items()
        if points
    ]
    return Chart(
        title,
        *labels,
        lines,
        [Tick(x_place(x), f"{x:,.10g}") for x in tick_values(x0, x1)],
        [Tick(y_place(y), f"{y:,.10g}") for y in tick_values(y0, y1)],
    )


def tick_values(low: float, high: float, most: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, at most `most` + 1."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounded to the step's own digits: 3 * 0.1 is not 0.3.
    digits = max(0, -math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


def step_points(x: Sequence[float], y: Sequence[float]) -> Points:
    """Corners of a curve that holds each y from the x before it on, as precision over recall."""
    corners: list[tuple[float, float]] = []
    before = 0.0
    for place, value in zip(x, y, strict=True):
        corners += [(before, value), (place, value)]
        before = place
    return corners


def thinned(points: Points, most: int) -> Points:
    """At most `most` points, each the mean of as many neighbours as that takes."""
    size = -(-len(points) // most)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x) / len(x), sum(y) / len(y)) for x, y in (zip(*g, strict=True) for g in groups)]


def _limits(points: Points) -> tuple[float, float, float, float]:
    xs, ys = zip(*points, strict=True)
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    margin = 0.05 * (y1 - y0) or 0.05 * abs(y1) or 1.0
    return x0, x1 if x1 > x0 else x0 + 1.0, y0 - margin, y1 + margin
