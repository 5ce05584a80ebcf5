"""What a pipeline asks and tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.part.record import InspectionRecord
from edge.part.trigger import Trigger
from edge.pipeline.status import PipelineStatus

OnTrigger = Callable[[Trigger, Callable[[], None]], None]


def note_nowhere(_trigger: Trigger, noted: Callable[[], None]) -> None:
    """Of a line that keeps no records."""
    noted()


def _ignore(_record: InspectionRecord) -> None:
    pass


def _never_blocked() -> str | None:
    return None


@dataclass(frozen=True)
class Hooks:
    """What a pipeline asks and tells, each on one of its threads.

    Attributes:
        blocked: why the station must not be READY; None when it may.
        on_trigger: receives each trigger once it is open, and what to call when it is noted: until
            then, or until its deadline, its verdict does not leave. It must not wait: it is called
            with the lock of the `Intake`.
        on_record: receives each record once, on the delivery thread.
        on_turn: told by the inspection loop what the pipeline does, several times a second also
            when no part comes, and once when it has ended.
    """

    blocked: Callable[[], str | None] = _never_blocked
    on_trigger: OnTrigger = note_nowhere
    on_record: Callable[[InspectionRecord], None] = _ignore
    on_turn: Callable[[PipelineStatus], None] | None = None
