"""The views, limits and hooks that a pipeline is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from edge.camera.base import Camera
from edge.part.record import InspectionRecord
from edge.part.shot import PartInspector
from edge.part.trigger import Trigger
from edge.peers.reconnect import LONGEST_PAUSE_S
from edge.pipeline.status import PipelineStatus

OnTrigger = Callable[[Trigger, Callable[[], None]], None]
OnVerdict = Callable[[InspectionRecord, Callable[[], None]], None]


class ViewCamera(NamedTuple):
    """A camera, and the call that exposes it where it does not expose by itself; see `View`."""

    camera: Camera
    expose: Callable[[], None] | None = None


@dataclass
class View:
    """One camera's view of every part.

    Attributes:
        camera: opened and closed by the pipeline. A changeover may replace it, with `expose`.
        inspector: stays its opener's. `Intake.change_inspectors` replaces it: each part is judged
            by the one that was here at its trigger.
        expose: makes the camera take one frame, from any thread; raises CameraError when it does
            not. None where the camera takes frames by itself.
    """

    name: str
    camera: Camera
    inspector: PartInspector
    expose: Callable[[], None] | None = None


@dataclass(frozen=True)
class PartLimits:
    """The limits of one part: how long it may take, and how many may be in the pipeline.

    Attributes:
        deadline_ms: from the trigger to the verdict.
        frame_limit_ms: from the trigger to the last view's frame; None: half of the deadline.
        debounce_ms: a firing that follows the one before so soon is not a part.
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
    """The settings of one run.

    Attributes:
        parts: the deadline, and the other limits of a part.
        reopens: open a lost camera again; otherwise it ends the run.
        waits_to_open: try a camera, trigger or output that cannot be opened at the start again and
            again, instead of ending the run.
        keep_warm_ms: run an engine on an empty image when it was idle for so long; None: never.
        limit_s: how long a thread may take for one turn or to end, and an output for a verdict.
        longest_pause_s: between two attempts to open a lost camera or output.
    """

    parts: PartLimits
    reopens: bool = True
    waits_to_open: bool = False
    keep_warm_ms: float | None = None
    limit_s: float = 10.0
    longest_pause_s: float = LONGEST_PAUSE_S


def note_nowhere(_trigger: Trigger, noted: Callable[[], None]) -> None:
    """Serves as `Hooks.on_trigger` of a line that keeps no records."""
    noted()


def note_no_verdict(_record: InspectionRecord, noted: Callable[[], None]) -> None:
    """Serves as `Hooks.on_verdict` of a line that keeps no records."""
    noted()


def ignore(_record: InspectionRecord) -> None:
    """Serves as a hook that nobody needs."""


def _never_blocked() -> str | None:
    return None


@dataclass(frozen=True)
class Hooks:
    """The calls that a pipeline makes, each on one of its threads.

    Attributes:
        blocked: returns the reason why the station must not be READY; None when it may.
        on_trigger: receives each trigger once it is open, and the call that reports it noted:
            `Pipeline.fire` waits for it. It must not wait: the caller holds the lock of the
            `Intake`.
        on_verdict: receives each record before any output is told, and the call that reports it
            noted: until then, or until the deadline of the part, the verdict does not leave. It
            receives the record again when an output is to be told something else. It must not
            wait; several threads call it.
        on_pending: receives a record whose outputs have not all answered in a moment, on the
            delivery thread; `on_record` follows.
        on_record: receives each record once, when the outputs have answered or have taken too long,
            on the delivery thread.
        on_turn: receives the status from the inference loop several times a second, also when no
            part comes, and once at the end.
    """

    blocked: Callable[[], str | None] = _never_blocked
    on_trigger: OnTrigger = note_nowhere
    on_verdict: OnVerdict = note_no_verdict
    on_pending: Callable[[InspectionRecord], None] = ignore
    on_record: Callable[[InspectionRecord], None] = ignore
    on_turn: Callable[[PipelineStatus], None] | None = None
