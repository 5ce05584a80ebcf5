"""The state of a running pipeline, and the summary of a run that ended."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from edge.drift.monitor import DriftReport
from edge.part.record import InspectionRecord
from inspection.verdict import Cause, Verdict

# Latencies of the latest parts; a run of months needs no more memory than a run of a day.
_LATEST = 100_000


@dataclass(frozen=True)
class OutputStatus:
    """The state of one output at one moment.

    Attributes:
        is_up: whether it takes verdicts, as far as is known; one behind an outbox always does, see
            `edge.store.station_records.RecordsStatus`.
        why: what its last failure was; empty while it is up.
        waiting: verdicts in its queue.
        late: verdicts whose deadline passed in its queue: it was told NO_VERDICT in their place.
        undelivered: verdicts that it did not take.
    """

    is_up: bool
    why: str = ""
    waiting: int = 0
    late: int = 0
    undelivered: int = 0


@dataclass(frozen=True)
class PipelineStatus:
    """The state of a running pipeline at one moment.

    Attributes:
        is_running: whether the inspection loop runs; not before, and not while it stops.
        faults: reasons why the station takes no part; empty while it is READY.
        stalled: stages whose thread hangs: "inspection", "preparation", "delivery", "trigger",
            "camera NAME", "exposure NAME"; "outputs" when none of the outputs works.
        outputs: the state of each, by name, in the order of the configuration.
        parts: triggers that have their record.
        no_verdicts: those of them without a verdict.
        refused_triggers: firings of a flood, which were no part any more.
    """

    is_running: bool
    faults: tuple[str, ...]
    stalled: tuple[str, ...]
    outputs: Mapping[str, OutputStatus]
    parts: int
    no_verdicts: int
    late_results: int
    refused_triggers: int
    images_dropped: int
    images_failed: int

    @property
    def is_inspecting(self) -> bool:
        """Whether the station takes parts."""
        return not self.faults

    @property
    def is_ready(self) -> bool:
        """Whether the station takes parts, and every output tells their verdict."""
        works = all(output.is_up for output in self.outputs.values())
        return self.is_inspecting and not self.stalled and works


class Stage(Protocol):
    """A thread of the pipeline."""

    @property
    def turned_ns(self) -> int | None:
        """Start of its present turn, on the monotonic clock; None while it may rest."""


class Connected(Protocol):
    """A stage that needs something beyond this program: a camera, a trigger, an engine."""

    @property
    def lost(self) -> str:
        """The reason why the peer is lost; empty while it is there."""


class StageHealth:
    """Finds the stages that hang, and those that have lost their peer. From any thread.

    Nothing in this process can mend a thread that hangs: the watchdog ends the process
    (`edge.service.daemon`). A stage that has lost its camera or trigger connects it again.

    Args:
        stages: by name.
        connected: those that can lose their camera, trigger or engine.
        limit_s: a stage whose turn takes longer hangs.
    """

    def __init__(
        self, stages: Mapping[str, Stage], connected: Sequence[Connected], limit_s: float
    ) -> None:
        self._stages = stages
        self._connected = connected
        self._limit_s = limit_s

    @property
    def stalled(self) -> tuple[str, ...]:
        """The stages that hang."""
        oldest_ns = time.monotonic_ns() - round(self._limit_s * 1e9)
        turns = [(name, stage.turned_ns) for name, stage in self._stages.items()]
        return tuple(name for name, at in turns if at is not None and at < oldest_ns)

    @property
    def faults(self) -> list[str]:
        """The reasons why the stages take no part."""
        lost = [one.lost for one in self._connected]
        hang = [f"{name} hangs, for {self._limit_s:g} s now" for name in self.stalled]
        return [*filter(None, lost), *hang]


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """What the stages count beside the records.

    Attributes:
        late_results: results that came after their deadline and were discarded.
        bounced_triggers: announced within the debounce time of the one before, and no parts.
        refused_triggers: announced while too many parts waited for their verdict, and no parts.
        stray_frames: frames that belonged to no part.
        images_dropped: parts whose images the archive had no time for.
        images_failed: parts whose images could not be written.
        late_verdicts: verdicts that came too late to an output, which was told NO_VERDICT.
        drift_left_out: parts that were not examined for drift.
    """

    late_results: int = 0
    bounced_triggers: int = 0
    refused_triggers: int = 0
    stray_frames: int = 0
    images_dropped: int = 0
    images_failed: int = 0
    late_verdicts: int = 0
    drift_left_out: int = 0


NOTHING_COUNTED = StageCounts()


@dataclass(frozen=True, kw_only=True)
class RunSummary(StageCounts):
    """Counts of one run.

    Attributes:
        latency_p50_ms: from the trigger to the verdict's way out, over the latest 100 000
            parts that had a frame; None when there was none.
        parts_per_minute: over the whole run.
        line_errors: verdicts that an output did not take.
        outputs: the state of each output at the end, by name; see `waiting` and `undelivered`.
        drift: the drift of each view and recipe that was watched.
        error: the error that stopped the run, or the first one of an output; None after an
            orderly run.
    """

    triggers: int
    verdicts: dict[Verdict, int]
    causes: dict[Cause, int]
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    parts_per_minute: float
    line_errors: int
    outputs: Mapping[str, OutputStatus]
    drift: tuple[DriftReport, ...]
    error: Exception | None

    @property
    def missed_deadlines(self) -> int:
        """Parts without a verdict because it was not there in time."""
        return self.causes.get(Cause.DEADLINE, 0)

    def as_json(self) -> dict[str, Any]:
        """Returns the summary as JSON values."""
        return {
            **vars(self),
            "verdicts": {verdict.value: count for verdict, count in self.verdicts.items()},
            "causes": {cause.value: count for cause, count in self.causes.items()},
            "outputs": {name: vars(output) for name, output in self.outputs.items()},
            "missed_deadlines": self.missed_deadlines,
            "drift": [report.as_json() for report in self.drift],
            "error": str(self.error) if self.error is not None else None,
        }


class Tally:
    """Counts records as they are made. One thread writes; any may read."""

    def __init__(self) -> None:
        self.line_errors = 0
        self._verdicts = Counter(dict.fromkeys(Verdict, 0))
        self._causes: Counter[Cause] = Counter()
        self._latencies_ms: deque[float] = deque(maxlen=_LATEST)

    def add(self, record: InspectionRecord) -> None:
        """Count one record."""
        self._verdicts[record.verdict] += 1
        self.line_errors += len(record.line_errors)
        if record.cause is not None:
            self._causes[record.cause] += 1
        if record.source is not None:
            self._latencies_ms.append(record.latency_ms.total)

    @property
    def parts(self) -> int:
        """Records so far."""
        return self._verdicts.total()

    @property
    def no_verdicts(self) -> int:
        """Records without a verdict so far."""
        return self._verdicts[Verdict.NO_VERDICT]

    def summary(
        self,
        seconds: float,
        counts: StageCounts = NOTHING_COUNTED,
        *,
        outputs: Mapping[str, OutputStatus] = MappingProxyType({}),
        drift: tuple[DriftReport, ...] = (),
        error: Exception | None = None,
    ) -> RunSummary:
        """Returns the summary of a run that took `seconds`."""
        triggers = self.parts
        p50, p99 = self._percentiles()
        return RunSummary(
            **vars(counts),
            triggers=triggers,
            verdicts={verdict: self._verdicts[verdict] for verdict in Verdict},
            causes=dict(self._causes),
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            parts_per_minute=60 * triggers / seconds if seconds > 0 else 0.0,
            line_errors=self.line_errors,
            outputs=dict(outputs),
            drift=drift,
            error=error,
        )

    def _percentiles(self) -> tuple[float | None, float | None]:
        if not self._latencies_ms:
            return None, None
        p50, p99 = np.percentile(list(self._latencies_ms), [50, 99])
        return float(p50), float(p99)
