"""What a run amounts to: counts, latency, throughput."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.drift.monitor import DriftReport
from edge.part.record import InspectionRecord
from inspection.verdict import Cause, Verdict

# Latencies of the latest parts; a run of months needs no more memory than a run of a day.
_LATEST = 100_000


@dataclass(frozen=True)
class RunSummary:
    """Counts of one run.

    Attributes:
        latency_p50_ms: from the trigger to the verdict's way out, over the latest 100 000
            parts that had a frame; None when there was none.
        parts_per_minute: over the whole run.
        late_results: results that came after their deadline and were discarded.
        bounced_triggers: announced within the debounce time of the one before, and no parts.
        stray_frames: frames that belonged to no part.
        images_dropped: parts whose images the archive had no time for.
        images_failed: parts whose images could not be written.
        line_errors: verdicts that an output did not take.
        drift: what moved, for each view and recipe that was watched.
        drift_left_out: parts that nobody looked at for drift.
        error: what stopped the run, or an output's first error; None after an orderly run.
    """

    triggers: int
    verdicts: dict[Verdict, int]
    causes: dict[Cause, int]
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    parts_per_minute: float
    late_results: int
    bounced_triggers: int
    stray_frames: int
    images_dropped: int
    images_failed: int
    line_errors: int
    drift: tuple[DriftReport, ...]
    drift_left_out: int
    error: Exception | None

    @property
    def missed_deadlines(self) -> int:
        """Parts without a verdict because none was there in time."""
        return self.causes.get(Cause.DEADLINE, 0)

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {
            **vars(self),
            "verdicts": {verdict.value: count for verdict, count in self.verdicts.items()},
            "causes": {cause.value: count for cause, count in self.causes.items()},
            "missed_deadlines": self.missed_deadlines,
            "drift": [report.as_json() for report in self.drift],
            "error": str(self.error) if self.error is not None else None,
        }


class Tally:
    """Counts records as they are made. One thread writes."""

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
        """Records so far; from any thread."""
        return self._verdicts.total()

    @property
    def no_verdicts(self) -> int:
        """Those of them without a verdict; from any thread."""
        return self._verdicts[Verdict.NO_VERDICT]

    def summary(
        self,
        *,
        seconds: float,
        late_results: int,
        bounced_triggers: int,
        stray_frames: int,
        images_dropped: int,
        images_failed: int,
        drift: tuple[DriftReport, ...] = (),
        drift_left_out: int = 0,
        error: Exception | None,
    ) -> RunSummary:
        """The summary of a run that took `seconds`."""
        triggers = self.parts
        p50, p99 = self._percentiles()
        return RunSummary(
            triggers=triggers,
            verdicts={verdict: self._verdicts[verdict] for verdict in Verdict},
            causes=dict(self._causes),
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            parts_per_minute=60 * triggers / seconds if seconds > 0 else 0.0,
            late_results=late_results,
            bounced_triggers=bounced_triggers,
            stray_frames=stray_frames,
            images_dropped=images_dropped,
            images_failed=images_failed,
            line_errors=self.line_errors,
            drift=drift,
            drift_left_out=drift_left_out,
            error=error,
        )

    def _percentiles(self) -> tuple[float | None, float | None]:
        if not self._latencies_ms:
            return None, None
        p50, p99 = np.percentile(list(self._latencies_ms), [50, 99])
        return float(p50), float(p99)
