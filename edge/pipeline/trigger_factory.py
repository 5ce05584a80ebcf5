"""Opens the triggers of one run: their numbers, their times, their note in the journal."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial

from edge.part.trigger import Trigger
from edge.pipeline.ledger import Ledger
from edge.pipeline.settings import OnTrigger, PartLimits
from edge.trigger.base import Firing
from inspection.bundle.calibration_file import RecipeIdentity


class TriggerFactory:
    """Opens and numbers the triggers of one run. One thread at a time calls it.

    Args:
        has_frames: whether a part is announced by a frame, which is there then; so a single view
            waits for none.
        on_trigger: see `Hooks`.
        clock_ns: monotonic clock in nanoseconds.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        limits: PartLimits,
        has_frames: bool,
        on_trigger: OnTrigger,
        clock_ns: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._has_frames = has_frames
        self._on_trigger = on_trigger
        self._clock_ns = clock_ns
        self._run_id = uuid.uuid4().hex[:8]
        self._count = 0
        self._last_fired_ns: int | None = None

    def bounces(self, firing: Firing) -> bool:
        """Whether a firing comes within the debounce time of the one before. Ask once for each."""
        last_ns, self._last_fired_ns = self._last_fired_ns, firing.fired_ns
        if last_ns is None:
            return False
        # Two sources may overtake each other on their way here.
        return abs(firing.fired_ns - last_ns) < self._limits.debounce_ms * 1e6

    def open(
        self, recipes: Mapping[str, RecipeIdentity], triggered_ns: int, part_id: str | None = None
    ) -> Trigger:
        """Open the trigger of the next part."""
        now_ns = self._clock_ns()
        deadline_ns = triggered_ns + self._limits.deadline_ns
        self._count += 1
        age = timedelta(microseconds=(now_ns - triggered_ns) / 1e3)
        trigger = Trigger(
            trigger_id=f"{self._run_id}-{self._count:06d}",
            triggered_utc=datetime.now(timezone.utc) - age,
            triggered_ns=triggered_ns,
            frames_due_ns=self._frames_due_ns(len(recipes), triggered_ns, now_ns, deadline_ns),
            deadline_ns=deadline_ns,
            recipes=recipes,
            part_id=part_id,
        )
        self._ledger.open(trigger, is_noted=False)
        self._on_trigger(trigger, partial(self._ledger.note, trigger))
        return trigger

    def _frames_due_ns(self, views: int, triggered_ns: int, now_ns: int, deadline_ns: int) -> int:
        if not self._has_frames:
            return triggered_ns + self._limits.frame_limit_ns
        if views == 1:
            return deadline_ns
        # The frame that announces its part may have been long on its way from the camera.
        return now_ns + self._limits.frame_limit_ns
