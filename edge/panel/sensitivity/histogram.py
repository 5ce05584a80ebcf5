"""Histograms of scores with one axis, as geometry for a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 440.0, 64.0  # of a row, in units of its view box
LEFT, RIGHT = 34.0, 428.0  # of the axis

_BINS = 40
_TICKS = 5


@dataclass(frozen=True)
class Bar:
    """A rectangle, from the bottom of a row."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Row:
    """The histogram of one kind of parts.

    Attributes:
        name: key of its text.
        most: parts in the highest bar.
        bars: without the empty ones.
    """

    name: str
    count: int
    most: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Tick:
    """A mark of the axis."""

    x: float
    score: float


@dataclass(frozen=True)
class Histograms:
    """Rows with the same axis.

    Attributes:
        low, high: scores at the ends of the axis.
        is_cut: whether a score is beyond the axis; the last bar has those too.
    """

    low: float
    high: float
    rows: tuple[Row, ...]
    is_cut: bool

    def x(self, score: float) -> float:
        """Returns the place of a score on the axis."""
        share = (min(max(score, self.low), self.high) - self.low) / (self.high - self.low)
        return round(LEFT + share * (RIGHT - LEFT), 2)

    @property
    def ticks(self) -> list[Tick]:
        """Marks at equal distances."""
        scores = np.linspace(self.low, self.high, _TICKS)
        return [Tick(self.x(float(score)), float(score)) for score in scores]


def histograms(rows: Mapping[str, Sequence[float]], shown: Sequence[float]) -> Histograms:
    """Returns the histograms of the rows that have scores.

    Args:
        shown: scores that the axis must have, at least one. Scores far above them are cut, so that
            a few gross defects do not press everything else into one bar.
    """
    scores = [score for row in rows.values() for score in row]
    low, top = min([*shown, *scores]), max(shown)
    span = top - low or abs(top) or 1.0
    highest = max([top, *scores])
    high = min(highest, top + span) + 0.02 * span
    edges = np.linspace(low, high, _BINS + 1)
    made = tuple(_row(name, row, edges) for name, row in rows.items() if row)
    return Histograms(low, high, made, highest > high)


def _row(name: str, scores: Sequence[float], edges: npt.NDArray[np.float64]) -> Row:
    counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
    most = int(counts.max())
    width = (RIGHT - LEFT) / _BINS
    bars = tuple(
        Bar(
            round(LEFT + place * width + 0.5, 2),
            round(HEIGHT * (1 - count / most), 2),
            round(width - 1, 2),
            round(HEIGHT * count / most, 2),
        )
        for place, count in enumerate(counts.tolist())
        if count
    )
    return Row(name, len(scores), most, bars)
