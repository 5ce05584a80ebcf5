"""What a pipeline says of itself while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PipelineStatus:
    """One look at a running pipeline.

    Attributes:
        is_running: whether the inspection loop runs; not before, and not while it stops.
        faults: why the station takes no part, for people; empty while it is READY.
        stalled: stages whose thread hangs: "inspection", "preparation", "delivery", "trigger",
            "camera NAME".
        outputs_up: for each output, in the order of the configuration, whether it takes verdicts;
            one behind an outbox always does, see `edge.store.station.RecordsStatus`.
        parts: triggers that have their record.
        no_verdicts: those of them without a verdict.
    """

    is_running: bool
    faults: tuple[str, ...]
    stalled: tuple[str, ...]
    outputs_up: tuple[bool, ...]
    parts: int
    no_verdicts: int
    late_results: int
    images_dropped: int
    images_failed: int

    @property
    def is_inspecting(self) -> bool:
        """Whether the station takes parts."""
        return not self.faults

    @property
    def is_ready(self) -> bool:
        """Whether the station takes parts, and every output tells their verdict."""
        return self.is_inspecting and not self.stalled and all(self.outputs_up)
