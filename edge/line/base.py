"""What every way out to the line offers the pipeline."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from edge.part.record import InspectionRecord


class StationState(str, Enum):
    """What the station does, beside its verdicts."""

    READY = "ready"  # it takes the next part
    BUSY = "busy"  # a part is being inspected
    FAULT = "fault"  # it inspects nothing: the line should stop, or reject every part


class LineOutput(Protocol):
    """Tells the line the verdicts. One thread at a time calls it.

    The safe state of an output is: no verdict shown, not ready. It has it from `open` to the first
    `show` or `send`, after every LineError as far as the line can still be reached, and after
    `close`.
    """

    def open(self) -> None:
        """Connect and go to the safe state; from then on `send` works.

        Called again after every LineError: what is lost is connected anew. Who calls it waits
        longer after every failure.

        Raises:
            LineError: it cannot be opened; the message says what to check.
        """

    def send(self, record: InspectionRecord) -> None:
        """Tell one verdict, NO_VERDICT included; returns when the line has it.

        Raises:
            LineError: it was not delivered. A connection that failed is closed, so that nothing
                reaches the line late, and every call raises until `open` succeeds again.
        """

    def show(self, state: StationState) -> None:
        """Tell what the station does, and that it is alive: the heartbeat moves with every call.

        Called at every change, and several times within the time after which the line takes a
        still heartbeat for a dead station. BUSY and FAULT take back a verdict that still stands.

        Raises:
            LineError: as for `send`.
        """

    def close(self) -> None:
        """Go to the safe state and disconnect. Safe to call twice, and without `open`."""
