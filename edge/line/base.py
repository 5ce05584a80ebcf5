"""The contract between the pipeline and an output to the line."""

from __future__ import annotations

from enum import Enum
from typing import Protocol, runtime_checkable

from edge.part.record import InspectionRecord
from inspection.errors import LineError


class StationState(str, Enum):
    """The activity of the station, beside its verdicts."""

    READY = "ready"  # takes the next part
    BUSY = "busy"  # inspects a part
    FAULT = "fault"  # inspects nothing: the line should stop, or reject every part


class NotTakenError(LineError):
    """The line did not acknowledge a verdict that came without READY; the output works on."""

    def __init__(self, output: str, trigger_id: str) -> None:
        super().__init__(
            f"{output}: the verdict of {trigger_id} was not acknowledged: it came while READY was "
            "not shown, and the line counts its parts from READY"
        )


class LineOutput(Protocol):
    """Tells the line the verdicts. One thread at a time calls it.

    In its safe state an output shows no verdict and is not ready. It is in this state from `open`
    to the first `show` or `send`, after every LineError as far as it still reaches the line, and
    after `close`.
    """

    def open(self) -> None:
        """Connects and goes to the safe state; `send` works after that.

        The caller calls it again after every LineError, to replace a lost connection, and waits
        longer after every failure.

        Raises:
            LineError: the output cannot be opened; the message says what to check.
        """

    def send(self, record: InspectionRecord) -> None:
        """Tells one verdict, NO_VERDICT included; returns when the line has it.

        Raises:
            NotTakenError: the line does not have the verdict, and need not: it may not count the
                part. The output took the verdict back, and needs no `open`.
            LineError: the line does not have the verdict. The output closes a connection that
                failed, so that nothing reaches the line late, and every call raises until `open`
                succeeds again.
        """

    def show(self, state: StationState) -> None:
        """Tells the state of the station; every call moves the heartbeat.

        The pipeline calls it at every change, and several times within the time after which the
        line takes a still heartbeat for a dead station. BUSY and FAULT take back a verdict that
        is still shown when they begin.

        Raises:
            LineError: as for `send`.
        """

    def close(self) -> None:
        """Goes to the safe state and disconnects. Safe to call twice, and without `open`."""


@runtime_checkable
class SortsParts(Protocol):
    """An output that sorts the parts itself, behind the camera."""

    def sort_out(self, record: InspectionRecord) -> None:
        """Rejects a part whose verdict was given up before `send`; its verdict does not count.

        Raises:
            LineError: the part cannot be rejected.
        """


@runtime_checkable
class HoldsFile(Protocol):
    """An output that holds a file open, which a log rotation takes away."""

    def reopen(self) -> None:
        """Has the next call open the file anew. A signal handler may call this."""
