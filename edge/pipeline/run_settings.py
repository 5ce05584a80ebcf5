"""What bounds the parts of a line and the run of its pipeline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartLimits:
    """When parts are refused, and how long they wait.

    Attributes:
        deadline_ms: from the trigger to the verdict.
        frame_limit_ms: from the trigger to the last view's frame; None: half of the deadline.
        debounce_ms: a firing that follows the one before so soon is none.
        parts_max: parts with frames that have no verdict yet; a further one is an overtrigger.
    """

    deadline_ms: float
    frame_limit_ms: float | None = None
    debounce_ms: float = 0.0
    parts_max: int = 3

    @property
    def deadline_ns(self) -> int:
        """From the trigger to the verdict."""
        return round(self.deadline_ms * 1e6)

    @property
    def frame_limit_ns(self) -> int:
        """From the trigger to the last view's frame."""
        given = self.frame_limit_ms
        return round((self.deadline_ms / 2 if given is None else given) * 1e6)


@dataclass(frozen=True)
class RunSettings:
    """How a pipeline runs.

    Attributes:
        parts: the deadline, and what else bounds a part.
        reopens: whether a lost camera is opened again; otherwise it ends the run.
        waits_to_open: a camera or output that cannot be opened at the start is opened again and
            again, instead of ending the run.
        keep_warm_ms: an engine that had nothing to do for so long is run on an empty image; None
            leaves it alone.
        limit_s: how long a thread may take to go round or to end, and the outputs to take a
            verdict.
    """

    parts: PartLimits
    reopens: bool = True
    waits_to_open: bool = False
    keep_warm_ms: float | None = None
    limit_s: float = 10.0
