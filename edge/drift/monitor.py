"""Watches the parts of a line for drift, and raises one alarm for each figure that moved.

Every part with a verdict counts, rejected ones too: when the light fails, every part is rejected,
and the parts that pass would never show it. The charts see ranks, so that single defective parts
raise no alarm (see `inspection.drift.charts`); a run of them may, and is a change as well.

Several figures follow one cause: blur changes sharpness, then contrast and scores. The alarm names
the figure that is farthest from the good parts now, and of figures about as far the cause before
its consequence.

An alarm changes no verdict. It clears when its charts were silent over a whole window, and the
middle of that window is near the middle of the good parts again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Any

from edge.part.result import Settled, ViewResult
from edge.part.trigger import Trigger
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.digits import comparable
from inspection.drift.baseline import Baseline
from inspection.drift.charts import MOVED, ChannelState, ChartAlarm, normal_score, update
from inspection.drift.frame_figures import frame_figures
from inspection.preprocess import Crop
from inspection.verdict import Verdict

_HISTORY = 100
_KEPT = 256  # of some 100 kB each, and the image that positions are measured against

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DriftAlarm:
    """One figure that moved away from the good parts.

    Attributes:
        moved: position, light, focus, contrast or texture; several figures show the position.
        channel: the figure, see `inspection.drift.frame_figures`; or `score`.
        chart: the one that found it: `cusum`, `ewma` or `window`.
        direction: 1 for higher than the good parts, -1 for lower, 0 when only the shape changed.
        baseline: the middle of the good parts.
        now: the middle of the parts since it began.
        since: the trigger at its beginning, as far as the chart can tell.
        trigger_id: the trigger at which it was found.
        cleared_utc: None until it clears.
    """

    moved: str
    channel: str
    chart: str
    direction: int
    baseline: float
    now: float
    since: str
    trigger_id: str
    raised_utc: datetime
    cleared_utc: datetime | None = None

    def __str__(self) -> str:
        change = {1: "rose", -1: "fell", 0: "changed its spread"}[self.direction]
        baseline, now = comparable(self.baseline, self.now)
        return (
            f"{self.moved} moved: {self.channel} {change}, from {baseline} on good parts "
            f"to {now}, since about {self.since} (found at {self.trigger_id})"
        )


@dataclass(frozen=True)
class DriftReport:
    """The drift of one run, for one view and recipe.

    Attributes:
        parts: number of examined parts.
        moved: the likely cause of the present alarms; None without any.
        alarms: the latest 100, the oldest first.
    """

    view: str
    recipe: str
    parts: int
    moved: str | None
    alarms: tuple[DriftAlarm, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns the report as JSON values."""
        return {**vars(self), "alarms": [_json(alarm) for alarm in self.alarms]}


class DriftMonitor:
    """The charts of one recipe. One thread calls `take`; any thread may read.

    Attributes:
        parts: number of examined parts.
        standing: the present alarms, the likely cause first.

    Args:
        crop: the part of the frame that is inspected.
        on_change: receives each alarm when it is raised and, with `cleared_utc`, when it clears.

    Raises:
        BundleError: the baseline holds no image to measure positions against.
    """

    def __init__(
        self,
        baseline: Baseline,
        crop: Crop | None = None,
        on_change: Callable[[DriftAlarm], None] = lambda _alarm: None,
    ) -> None:
        self.parts = 0
        self.standing: tuple[DriftAlarm, ...] = ()
        self._baseline = baseline
        self._reference = baseline.reference()
        self._crop = crop
        self._on_change = on_change
        self._charts: dict[str, ChannelState] = {}
        self._latest: dict[str, deque[float]] = {
            name: deque(maxlen=baseline.window) for name in baseline.values
        }
        self._trigger_ids: deque[str] = deque(maxlen=10 * baseline.window)
        self._quiet: dict[str, int] = {}  # parts since the last alarm of a chart, by channel
        self._began: dict[str, int] = {}  # the part with which a standing alarm began
        self._alarms: dict[str, DriftAlarm] = {}
        self._cleared: deque[DriftAlarm] = deque(maxlen=_HISTORY)

    @property
    def moved(self) -> str | None:
        """The likely cause of the present alarms; None without any."""
        standing = self.standing
        return standing[0].moved if standing else None

    def report(self, view: str, recipe: str) -> DriftReport:
        """Returns the drift so far, under the names of the watched view and recipe."""
        alarms = sorted([*self._cleared, *self.standing], key=lambda alarm: alarm.raised_utc)
        return DriftReport(view, recipe, self.parts, self.moved, tuple(alarms[-_HISTORY:]))

    def take(self, trigger: Trigger, result: ViewResult) -> None:
        """Adds the result of a view, unless it has no frame or no verdict."""
        inspection = result.inspection
        if result.frame is None or inspection.verdict is Verdict.NO_VERDICT:
            return
        frame = result.frame.image
        shown = frame if self._crop is None else self._crop.of(frame)
        figures = {**frame_figures(shown, self._reference), "score": inspection.score}
        self.add(figures, trigger.trigger_id, trigger.triggered_utc)

    def add(self, figures: Mapping[str, float], trigger_id: str, triggered_utc: datetime) -> None:
        """Adds one part by its figures: all of `inspection.drift.charts.MOVED`."""
        self.parts += 1
        self._trigger_ids.append(trigger_id)
        for channel, latest in self._latest.items():
            latest.append(figures[channel])
            self._quiet[channel] = self._quiet.get(channel, 0) + 1
        for found in update(self._baseline, self._charts, figures):
            self._quiet[found.channel] = 0
            if found.channel not in self._alarms:
                self._raise(found, triggered_utc)
        for channel in [name for name in self._alarms if self._is_back(name)]:
            self._clear(channel, triggered_utc)
        self.standing = tuple(sorted(self._alarms.values(), key=self._place))

    def _raise(self, found: ChartAlarm, triggered_utc: datetime) -> None:
        latest = self._latest[found.channel]
        alarm = DriftAlarm(
            moved=found.moved,
            channel=found.channel,
            chart=found.chart,
            direction=found.direction,
            baseline=median(self._baseline.values[found.channel]),
            now=median(list(latest)[-found.parts :]),
            since=self._trigger_ids[max(-found.parts, -len(self._trigger_ids))],
            trigger_id=self._trigger_ids[-1],
            raised_utc=triggered_utc,
        )
        self._began[found.channel] = self.parts - found.parts
        self._alarms[found.channel] = alarm
        _log.warning("drift: %s", alarm)
        self._on_change(alarm)

    def _is_back(self, channel: str) -> bool:
        if self._quiet[channel] < self._baseline.window:
            return False
        return self._deviation(channel, self._baseline.window) <= self._baseline.slack

    def _place(self, alarm: DriftAlarm) -> tuple[int, int]:
        """Sorts an alarm among others: by half standard deviations, then by causes."""
        parts = self.parts - self._began[alarm.channel]
        half_deviations = round(2 * self._deviation(alarm.channel, parts))
        return -half_deviations, list(MOVED).index(alarm.channel)

    def _deviation(self, channel: str, parts: int) -> float:
        """Distance of the middle of the latest parts from the good ones, in their deviations."""
        latest = list(self._latest[channel])[-parts:]
        return abs(normal_score(self._baseline.values[channel], median(latest)))

    def _clear(self, channel: str, triggered_utc: datetime) -> None:
        alarm = self._alarms.pop(channel)
        cleared = replace(alarm, cleared_utc=triggered_utc)
        self._cleared.append(cleared)
        _log.warning("drift: the %s is back: %s is like on good parts", alarm.moved, channel)
        self._on_change(cleared)


class DriftWatch:
    """The drift monitors of a line.

    A view is watched once for each recipe, so that the charts of one go on when it comes back. Of
    more than `kept` charts, those of the recipe that is out of force for longest are forgotten:
    each calibration has its own, and a line may run for years.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._monitors: Mapping[tuple[str, RecipeIdentity], DriftMonitor] = {}

    def take(self, settled: Settled) -> None:
        """Examines a part; one thread at a time, see `edge.pipeline.background`."""
        for result in settled.views:
            monitor = self._monitors.get((result.view, result.recipe))
            if monitor is not None:
                monitor.take(settled.trigger, result)

    def add(self, view: str, recipe: RecipeIdentity, monitor: DriftMonitor) -> None:
        """Watches a view while a recipe judges it; one thread at a time, while others read."""
        latest = dict(self._monitors)
        latest[view, recipe] = latest.pop((view, recipe), monitor)
        self._monitors = dict(
            list(latest.items())[-self._kept :]
        )  # replaced as a whole: others read it

    @property
    def is_watching(self) -> bool:
        """Whether there is a recipe to watch."""
        return bool(self._monitors)

    def standing(self, recipes: Mapping[str, RecipeIdentity]) -> dict[str, tuple[DriftAlarm, ...]]:
        """Returns the present alarms by view; from any thread.

        Args:
            recipes: those in force, by view. An alarm of another one cannot clear: no part comes.
        """
        return {
            view: monitor.standing
            for (view, recipe), monitor in self._monitors.items()
            if recipes.get(view) == recipe
        }

    def reports(self) -> tuple[DriftReport, ...]:
        """Returns the drift so far, for each view and recipe that is not forgotten."""
        return tuple(
            monitor.report(view, identity.recipe)
            for (view, identity), monitor in self._monitors.items()
        )


def _json(alarm: DriftAlarm) -> dict[str, Any]:
    cleared = alarm.cleared_utc
    return {
        **vars(alarm),
        "raised_utc": alarm.raised_utc.isoformat(),
        "cleared_utc": None if cleared is None else cleared.isoformat(),
    }
