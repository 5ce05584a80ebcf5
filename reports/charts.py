"""Computes charts for inline SVG, since a device has no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 34, 40  # px around the plot
_MOST_POINTS = 300
_FEW_DECADES = 3  # more have no lines in between
_NEAR = 60  # px; names of thresholds that are closer have sides of their own

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in px, with its text."""

    place: float
    text: str


@dataclass(frozen=True)
class Mark(Tick):
    """A threshold; its name ends at its place, or starts there, as SVG calls it."""

    anchor: str = "end"


@dataclass(frozen=True)
class Line:
    """Points of a polyline as SVG has them: `x,y x,y`."""

    points: str
    is_dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Geometry of a chart, all places in px of a WIDTH x HEIGHT drawing.

    Attributes:
        title: description for screen readers.
        axis, row_axis: names of the horizontal and the vertical axis.
        columns, rows: values on the horizontal and the vertical axis.
        marks: thresholds, as places on the horizontal axis.
        bars: each as (x, y, width, height).
    """

    title: str
    axis: str
    row_axis: str
    columns: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    bars: tuple[tuple[float, float, float, float], ...] = ()
    lines: tuple[Line, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def histogram(scores: Sequence[float], thresholds: Sequence[tuple[str, float]]) -> Chart:
    """Draws a histogram of the scores of good parts, with named thresholds."""
    low, high = _range([*scores, *(value for _, value in thresholds)])
    count = int(np.clip(round(2 * math.sqrt(len(scores))), 12, 60))
    ends = (min(scores), max(scores)) if min(scores) < max(scores) else (low, high)
    counts, edges = np.histogram(np.asarray(scores), bins=count, range=ends)
    tallest = int(counts.max())
    span = HEIGHT - _TOP - _BOTTOM
    bars = tuple(
        (
            round(_across(float(start), low, high), 1),
            round(HEIGHT - _BOTTOM - span * int(parts) / tallest, 1),
            round(_across(float(end), low, high) - _across(float(start), low, high) - 1, 1),
            round(span * int(parts) / tallest, 1),
        )
        for parts, start, end in zip(counts, edges[:-1], edges[1:], strict=True)
        if parts
    )
    rows = tuple(
        Tick(HEIGHT - _BOTTOM - span * number / tallest, f"{number:g}")
        for number in _round_values(0, tallest, finest=1)
    )
    return Chart(
        "Histogram of the scores of good parts, with the thresholds",
        "raw score",
        "parts",
        _columns(low, high),
        rows,
        _marks(thresholds, low, high),
        bars=bars,
    )


def rate_curve(
    scores: _Array, expected: _Array, bounds: _Array, thresholds: Sequence[tuple[str, float]]
) -> Chart:
    """Draws the false reject rates, on a logarithmic axis, of each score as threshold.

    The curve has steps: a threshold between two scores has the promise of the lower one.

    Args:
        scores: (n,) ascending.
        expected: (n,) expected false reject rate of each score as threshold.
        bounds: (n,) its upper bound.
        thresholds: named thresholds to mark.
    """
    low, high = _range([*map(float, scores), *(value for _, value in thresholds)])
    lowest = 10.0 ** math.floor(math.log10(float(expected.min())))
    places = np.unique(np.linspace(0, len(scores) - 1, _MOST_POINTS).round().astype(int))
    xs = [_across(float(scores[place]), low, high) for place in places]
    decades = range(round(math.log10(lowest)), 1)
    finer = (1,) if len(decades) > _FEW_DECADES else (1, 2, 5)
    rates = [digit * 10.0**power for power in decades for digit in finer]
    return Chart(
        "False reject rate against threshold: expected, and its upper bound",
        "threshold",
        "false reject rate",
        _columns(low, high),
        tuple(Tick(_down(rate, lowest), f"{rate:.6g}") for rate in rates if rate < 1.5),
        _marks(thresholds, low, high),
        lines=(
            Line(_steps(xs, [_down(float(expected[place]), lowest) for place in places])),
            Line(
                _steps(xs, [_down(float(bounds[place]), lowest) for place in places]),
                is_dashed=True,
            ),
        ),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _across(value: float, low: float, high: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - low) / (high - low)


def _down(rate: float, lowest: float) -> float:
    share = math.log10(max(rate, lowest)) / math.log10(lowest)
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * share


def _columns(low: float, high: float) -> tuple[Tick, ...]:
    return tuple(Tick(_across(v, low, high), f"{v:.6g}") for v in _round_values(low, high))


def _round_values(low: float, high: float, finest: float = 0.0) -> list[float]:
    """Returns about ten values from `low` to `high`, by steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = max(finest, *(n * power for n in (1, 2, 5) if n * power <= (high - low) / 5))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


def _marks(thresholds: Sequence[tuple[str, float]], low: float, high: float) -> tuple[Mark, ...]:
    """Places the thresholds; of two near ones the right one has its name on its right side."""
    places = [(_across(value, low, high), name) for name, value in thresholds]
    marks = []
    for place, name in places:
        is_right_one = any(0 < place - other < _NEAR for other, _ in places)
        marks.append(Mark(place, name, "start" if is_right_one else "end"))
    return tuple(marks)


def _steps(xs: Sequence[float], ys: Sequence[float]) -> str:
    corners = [f"{xs[0]:.1f},{ys[0]:.1f}"]
    for x, before, y in zip(xs[1:], ys[:-1], ys[1:], strict=True):
        corners += [f"{x:.1f},{before:.1f}", f"{x:.1f},{y:.1f}"]
    return " ".join(corners)
