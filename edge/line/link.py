"""An output with its recovery: what was lost is connected again, after growing pauses."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge.line.base import LineOutput, StationState
from edge.part.record import InspectionRecord
from edge.peers.reconnect import growing_pauses
from inspection.errors import LineError


class Link:
    """Calls one output, and opens it again after an error. One thread at a time calls it.

    Args:
        clock: monotonic clock in seconds.
    """

    def __init__(self, output: LineOutput, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._pauses = growing_pauses()
        self._retry_at: float | None = None  # None while the output works
        self._why = ""  # it could not be opened again

    @property
    def is_up(self) -> bool:
        """Whether the output works, as far as is known."""
        return self._retry_at is None

    def open(self) -> None:
        """Open the output for the first time; see `LineOutput.open`. `mend` repairs a failure."""
        try:
            self._output.open()
        except LineError as error:
            self._why = str(error)
            self._note_failure()
            raise

    def send(self, record: InspectionRecord) -> None:
        """Tell one verdict; see `LineOutput.send`. An output that is down still counts the part."""
        self.mend()
        try:
            self._output.send(record)
        except LineError as error:
            self._note_failure()
            if self._why:
                raise LineError(f"{error}: {self._why}") from error
            raise

    def show(self, state: StationState) -> None:
        """Tell what the station does; see `LineOutput.show`. Nothing while the output is down."""
        self.mend()
        if not self.is_up:
            return
        try:
            self._output.show(state)
        except LineError:
            self._note_failure()
            raise

    def mend(self) -> None:
        """Open an output that is down again, when its pause is over; without an error."""
        if self._retry_at is None or self._clock() < self._retry_at:
            return
        try:
            self._output.open()
        except LineError as error:
            self._why = str(error)
            self._retry_at = self._clock() + next(self._pauses)
        else:
            self._why = ""
            self._retry_at = None

    def close(self) -> None:
        """Close the output; see `LineOutput.close`."""
        self._output.close()

    def _note_failure(self) -> None:
        if self._retry_at is None:
            self._pauses = growing_pauses()
            self._retry_at = self._clock() + next(self._pauses)
