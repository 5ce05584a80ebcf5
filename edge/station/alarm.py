"""Raises an alarm when several parts in a row, or too many of the last ones, did not pass."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.part.record import InspectionRecord
from inspection.config.loading import StrictModel
from inspection.verdict import Verdict

_log = logging.getLogger(__name__)


class AlarmConfig(StrictModel):
    """Limits of the alarms. NO_VERDICT and REVIEW count like REJECT.

    Attributes:
        in_a_row: parts in a row that did not pass; None for no such alarm.
        share: highest share of the last `window_parts` that may fail to pass; None for no such
            alarm. It is judged once so many parts have come.
    """

    in_a_row: Annotated[int, Field(ge=1)] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    window_parts: Annotated[int, Field(ge=2, le=100_000)] = 100

    @model_validator(mode="after")
    def _some_alarm(self) -> AlarmConfig:
        if self.in_a_row is None and self.share is None:
            raise ValueError("should have 'in_a_row' or 'share'")
        return self


@dataclass(frozen=True)
class RejectAlarm:
    """The beginning or the end of one of the two alarms.

    Attributes:
        is_raised: False at its end.
        message: the reason, to show to the operator.
        trigger_id: the part that changed it.
    """

    kind: Literal["in_a_row", "share"]
    is_raised: bool
    message: str
    trigger_id: str


def log_alarm(alarm: RejectAlarm) -> None:
    """Writes an alarm to the log."""
    _log.warning("alarm%s: %s", "" if alarm.is_raised else " over", alarm.message)


class RejectMonitor:
    """Watches the records in their order. For one thread.

    Args:
        on_change: receives the beginning and the end of each alarm.

    Attributes:
        raised: the present alarms, by kind.
    """

    def __init__(
        self, config: AlarmConfig, on_change: Callable[[RejectAlarm], None] = log_alarm
    ) -> None:
        self.raised: dict[str, RejectAlarm] = {}
        self._config = config
        self._on_change = on_change
        self._in_a_row = 0
        self._window: deque[bool] = deque(maxlen=config.window_parts)
        self._failed = 0  # in the window

    def add(self, record: InspectionRecord) -> None:
        """Count one part."""
        is_fail = record.verdict is not Verdict.PASS
        self._in_a_row = self._in_a_row + 1 if is_fail else 0
        if len(self._window) == self._window.maxlen:
            self._failed -= self._window[0]
        self._window.append(is_fail)
        self._failed += is_fail
        self._judge_row(record.trigger_id)
        self._judge_share(record.trigger_id)

    def _judge_row(self, trigger_id: str) -> None:
        limit = self._config.in_a_row
        if limit is not None:
            raised = self._in_a_row >= limit
            failing = f"{self._in_a_row} parts in a row did not pass"
            message = failing if raised else "a part passed again"
            self._change("in_a_row", raised, message, trigger_id)

    def _judge_share(self, trigger_id: str) -> None:
        limit, parts = self._config.share, self._config.window_parts
        if limit is not None and len(self._window) == parts:
            message = f"{self._failed} of the last {parts} parts did not pass"
            self._change("share", self._failed > limit * parts, message, trigger_id)

    def _change(
        self, kind: Literal["in_a_row", "share"], raised: bool, message: str, trigger_id: str
    ) -> None:
        if raised == (kind in self.raised):
            return
        alarm = RejectAlarm(kind, raised, message, trigger_id)
        if raised:
            self.raised[kind] = alarm
        else:
            del self.raised[kind]
        self._on_change(alarm)
