"""Drift: has the line moved away from the good parts it was calibrated on, and what has moved?

Raw scores of passed parts and a few figures of their frames are compared with a baseline of good
parts. Each figure (channel) has three charts:

- CUSUM, two-sided (Page 1954), fast for lasting shifts of about one standard deviation;
- EWMA (Roberts 1959), for slow creeping ones;
- a Kolmogorov-Smirnov test of every full window, for a change of shape at equal mean.

Values become normal scores of their rank in the baseline, so that no distribution is assumed. The
limits follow from one figure, the parts between two false alarms of the whole system
(`run_length`), of which every chart gets an equal part of the alarms. Run lengths of the CUSUM are
those of Brook and Evans (1972), of the EWMA those of Lucas and Saccucci (1990), both by Markov
chain. A baseline of few parts is itself off by chance; the limits are set for a mean that is off as
far as is plausible at `confidence` (the aim of Gandy and Kvaloy 2013), so that few parts give slow
charts rather than false alarms. The limit of the window is the sum of two exact Kolmogorov limits:
of the baseline at `confidence`, and of the window at as much error probability as its parts are
worth, which is the correction for looking again and again.

Assumed: in control, parts are independent. Slow waves of the line (shifts, temperature) that the
baseline has not seen are reported, as they should be.

`baseline_from` needs scipy; `update`, made for every part, only numpy and the standard library.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.stats import kstwo, norm

from calibration.run_lengths import cusum_run_length, ewma_run_length, limit_for
from calibration.threshold import require_share
from edge.config import StrictModel
from edge.errors import ConfigError

# What moved, by channel, causes before consequences: another view has another brightness, less
# focus less contrast, and a score follows the image.
MOVED = {
    "row": "position",
    "column": "position",
    "brightness": "light",
    "sharpness": "focus",
    "contrast": "contrast",
    "score": "texture",
}
FEWEST_PARTS = 30
_CHARTS = 3
_NORMAL = NormalDist()


class Baseline(StrictModel):
    """What good parts look like, and the limits that follow; plain numbers, kept as JSON.

    Attributes:
        values: for each channel, the figures of the good parts in ascending order.
        run_length: parts between two false alarms that the limits are set for.
        slack: of the CUSUM, in standard deviations; half the shift that it finds soonest.
        weight: of the newest part in the EWMA.
        cusum_limit: in standard deviations.
        ewma_limit: of the EWMA itself, in standard deviations of one part.
        window: parts in one Kolmogorov-Smirnov test.
        window_limit: largest distance of distribution functions without alarm.
    """

    values: dict[str, tuple[float, ...]]
    run_length: float
    slack: float
    weight: float
    cusum_limit: float
    ewma_limit: float
    window: int
    window_limit: float


def baseline_from(
    figures: Mapping[str, Sequence[float]],
    *,
    run_length: float = 10_000,
    confidence: float = 0.9,
    window: int = 100,
    slack: float = 0.5,
    weight: float = 0.1,
) -> Baseline:
    """Baseline and limits from good parts that the model was not fitted to.

    Args:
        figures: for each channel (a key of `MOVED`), its value for each good part.
        run_length: mean number of good parts between two false alarms, over all charts.
        confidence: that the run length holds, over draws of the baseline.

    Raises:
        ConfigError: unknown channels, fewer than 30 parts, values that are not finite.
    """
    require_share("confidence", confidence)
    counts = {len(values) for values in figures.values()}
    unknown = sorted(set(figures) - set(MOVED))
    if unknown or not figures:
        raise ConfigError(f"channels {unknown} are unknown; known are {', '.join(MOVED)}")
    if len(counts) != 1 or min(counts) < FEWEST_PARTS:
        raise ConfigError(
            f"the channels have {sorted(counts)} values: a drift baseline needs the same good "
            f"parts in every channel, at least {FEWEST_PARTS}"
        )
    if not all(np.isfinite(values).all() for values in figures.values()):
        raise ConfigError("a drift baseline needs finite values: leave out parts without them")
    (n,) = counts
    each = run_length * _CHARTS * len(figures)
    off = float(norm.ppf((1 + confidence) / 2)) / math.sqrt(n)

    def cusum(limit: float) -> float:
        return cusum_run_length(limit, slack, off)

    def ewma(limit: float) -> float:
        return ewma_run_length(limit, weight, off)

    deviation = math.sqrt(weight / (2 - weight))
    return Baseline(
        values={name: tuple(sorted(map(float, values))) for name, values in figures.items()},
        run_length=run_length,
        slack=slack,
        weight=weight,
        cusum_limit=limit_for(cusum, each),
        ewma_limit=limit_for(ewma, each) * deviation,
        window=window,
        window_limit=float(
            kstwo.isf(1 - confidence, n) + kstwo.isf(min(1.0, window / each), window)
        ),
    )


@dataclass
class ChannelState:
    """Where the charts of one channel stand; plain numbers (`dataclasses.asdict` keeps them)."""

    up: float = 0.0
    down: float = 0.0
    parts_up: int = 0
    parts_down: int = 0
    smooth: float = 0.0
    window: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Alarm:
    """One chart beyond its limit.

    Attributes:
        moved: what moved, in the words of the shop floor.
        chart: "cusum", "ewma" or "window".
        direction: 1 for higher than the baseline, -1 for lower, 0 when the shape changed.
        parts: about how many parts ago it began, as far as the chart can tell.
    """

    channel: str
    moved: str
    chart: str
    direction: int
    parts: int


def update(
    baseline: Baseline, state: dict[str, ChannelState], figures: Mapping[str, float]
) -> list[Alarm]:
    """Add one part to the charts; a chart that alarms starts afresh.

    The cost of a part does not depend on the parts before it. A full window is sorted once.

    Args:
        state: one entry for each channel, made here where it is missing; changed in place.
        figures: the channels of the baseline; a channel that is missing is left as it is.
    """
    alarms = []
    for channel in baseline.values.keys() & figures.keys():
        charts = state.setdefault(channel, ChannelState())
        value = float(figures[channel])
        score = _normal_score(baseline.values[channel], value)
        found = [*_cusum(baseline, charts, score), *_ewma(baseline, charts, score)]
        found += _window(baseline, channel, charts, value)
        alarms += [Alarm(channel, MOVED[channel], *one) for one in found]
    return sorted(alarms, key=lambda alarm: list(MOVED).index(alarm.channel))


def what_moved(alarms: Sequence[Alarm]) -> str | None:
    """The cause to name of several alarms, or None without any: the first in `MOVED`."""
    present = {alarm.channel: alarm.moved for alarm in alarms}
    return next((present[channel] for channel in MOVED if channel in present), None)


def _normal_score(ordered: Sequence[float], value: float) -> float:
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
    """Kolmogorov-Smirnov distance of two samples in ascending order."""
    both = np.concatenate([first, second])
    shares = [np.searchsorted(one, both, side="right") / len(one) for one in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())
