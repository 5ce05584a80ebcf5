"""Detects when a line moves away from the good parts of its calibration, and names what moved.

The charts compare raw scores and a few figures of the frames with a baseline of good parts. Each
figure (channel) has three charts:

- CUSUM, two-sided (Page 1954), fast for lasting shifts of about one standard deviation;
- EWMA (Roberts 1959), for slow creeping shifts;
- a Kolmogorov-Smirnov test of every full window, for a change of shape at equal mean.

Values become normal scores of their rank in the baseline. So the charts assume no distribution, and
a single odd part moves a chart no further than the outermost good part would. The limits come with
the baseline, see `calibration.drift`.

The charts assume that parts are independent while the line is in control. They report slow waves
of the line (shifts, temperature) that are not in the baseline, as they should.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from inspection.drift.baseline import Baseline

# Name of the change by channel, causes before consequences: another view changes the brightness,
# less focus lowers the contrast, and the score follows the image.
MOVED = {
    "row": "position",
    "column": "position",
    "brightness": "light",
    "sharpness": "focus",
    "contrast": "contrast",
    "score": "texture",
}
# Less detail means focus; more detail than the lens gave means sensor noise or another surface.
_ROSE = {**MOVED, "sharpness": "texture"}
_NORMAL = NormalDist()


@dataclass
class ChannelState:
    """State of the charts of one channel; plain numbers that `dataclasses.asdict` can store."""

    up: float = 0.0
    down: float = 0.0
    parts_up: int = 0
    parts_down: int = 0
    smooth: float = 0.0
    window: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class ChartAlarm:
    """One chart beyond its limit.

    Attributes:
        moved: name of the change in the words of the plant: "light".
        chart: "cusum", "ewma" or "window".
        direction: 1 for higher than the baseline, -1 for lower, 0 when the shape changed.
        parts: estimated number of parts since the change began.
    """

    channel: str
    moved: str
    chart: str
    direction: int
    parts: int


def update(
    baseline: Baseline, state: dict[str, ChannelState], figures: Mapping[str, float]
) -> list[ChartAlarm]:
    """Adds one part to the charts and returns their alarms; a chart with an alarm starts again.

    The cost of a part does not depend on earlier parts, except for one sort per full window.

    Args:
        state: state of each channel; changed in place, with a new entry for a missing channel.
        figures: values of the part by channel; a missing channel keeps its state.
    """
    alarms = []
    for channel in baseline.values.keys() & figures.keys():
        charts = state.setdefault(channel, ChannelState())
        value = float(figures[channel])
        score = normal_score(baseline.values[channel], value)
        found = [*_cusum(baseline, charts, score), *_ewma(baseline, charts, score)]
        found += _window(baseline, channel, charts, value)
        alarms += [
            ChartAlarm(
                channel, (_ROSE if direction > 0 else MOVED)[channel], chart, direction, parts
            )
            for chart, direction, parts in found
        ]
    return sorted(alarms, key=lambda alarm: list(MOVED).index(alarm.channel))


def normal_score(ordered: Sequence[float], value: float) -> float:
    """Returns the standard normal value at the rank of `value` in an ascending baseline."""
    place = (bisect_left(ordered, value) + bisect_right(ordered, value)) / 2
    return _NORMAL.inv_cdf((place + 0.5) / (len(ordered) + 1))


_Found = list[tuple[str, int, int]]


def _cusum(baseline: Baseline, charts: ChannelState, score: float) -> _Found:
    charts.up = max(0.0, charts.up + score - baseline.slack)
    charts.down = max(0.0, charts.down - score - baseline.slack)
    charts.parts_up = charts.parts_up + 1 if charts.up else 0
    charts.parts_down = charts.parts_down + 1 if charts.down else 0
    found: _Found = []
    if charts.up > baseline.cusum_limit:
        found.append(("cusum", 1, charts.parts_up))
        charts.up, charts.parts_up = 0.0, 0
    if charts.down > baseline.cusum_limit:
        found.append(("cusum", -1, charts.parts_down))
        charts.down, charts.parts_down = 0.0, 0
    return found


def _ewma(baseline: Baseline, charts: ChannelState, score: float) -> _Found:
    charts.smooth += baseline.weight * (score - charts.smooth)
    if abs(charts.smooth) <= baseline.ewma_limit:
        return []
    direction = 1 if charts.smooth > 0 else -1
    charts.smooth = 0.0
    return [("ewma", direction, round(1 / baseline.weight))]


def _window(baseline: Baseline, channel: str, charts: ChannelState, value: float) -> _Found:
    charts.window.append(value)
    if len(charts.window) < baseline.window:
        return []
    distance = _distance(np.asarray(baseline.values[channel]), np.sort(charts.window))
    charts.window.clear()
    return [("window", 0, baseline.window)] if distance > baseline.window_limit else []


def _distance(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Returns the Kolmogorov-Smirnov distance of two samples in ascending order."""
    both = np.concatenate([first, second])
    shares = [np.searchsorted(one, both, side="right") / len(one) for one in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())
