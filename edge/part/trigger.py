"""One part to be judged, from the moment it is announced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from inspection.bundle.calibration_file import RecipeIdentity


@dataclass(frozen=True)
class Trigger:
    """One part to be judged.

    Attributes:
        trigger_id: unique over all runs.
        triggered_utc: when the part was announced. Where the camera announces it (hardware trigger,
            free run) that is when the frame was complete, or when the camera failed: the earliest
            moment that the station knows.
        triggered_ns: the same on the monotonic clock.
        frames_due_ns: when every view must have its frame, on the monotonic clock.
        deadline_ns: when a verdict comes too late, on the monotonic clock.
        recipes: the views that judge the part, each with the recipe in force at the trigger.
        part_id: the line's name for the part; None when it gave none.
    """

    trigger_id: str
    triggered_utc: datetime
    triggered_ns: int
    frames_due_ns: int
    deadline_ns: int
    recipes: Mapping[str, RecipeIdentity]
    part_id: str | None = None
