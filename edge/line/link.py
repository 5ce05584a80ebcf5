"""The link to an output: opens a lost output again after growing pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from edge.line.base import LineOutput, NotTakenError, StationState
from edge.part.record import InspectionRecord
from edge.peers.reconnect import LONGEST_PAUSE_S, Reconnector
from inspection.errors import LineError


@runtime_checkable
class OutputLink(LineOutput, Protocol):
    """An output that opens itself again after an error."""

    @property
    def is_up(self) -> bool:
        """True while the output takes verdicts, as far as is known; from any thread."""


class Link:
    """Calls one output, and opens it again after an error. One thread at a time calls it.

    Args:
        longest_pause_s: limit of the pause between two attempts to open the output.
        clock: monotonic clock in seconds.
    """

    def __init__(
        self,
        output: LineOutput,
        clock: Callable[[], float] = time.monotonic,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._output = output
        # Every verdict counts: the output is tried soon after each loss.
        self._connection = Reconnector(
            output.open, LineError, held_s=0.0, longest_pause_s=longest_pause_s, clock=clock
        )

    @property
    def is_up(self) -> bool:
        """True while the output works, as far as is known."""
        return not self._connection.lost

    def open(self) -> None:
        """Opens the output for the first time; later `send` and `show` repair a failure."""
        self._connection.open()

    def send(self, record: InspectionRecord) -> None:
        """Sends one verdict. An output that is down still counts the part.

        Raises:
            LineError: it was not taken; while the output is down, with the reason for that.
        """
        self.mend()
        lost = self._connection.lost
        try:
            self._output.send(record)
        except NotTakenError:  # the output works
            raise
        except LineError as error:
            self._note_loss(error)
            if lost and lost != str(error):
                raise LineError(f"{error}: {lost}") from error
            raise

    def show(self, state: StationState) -> None:
        """Shows the state of the station, unless the output is down."""
        self.mend()
        if not self.is_up:
            return
        try:
            self._output.show(state)
        except LineError as error:
            self._note_loss(error)
            raise

    def mend(self) -> None:
        """Opens an output that is down again, when its pause is over; raises no error."""
        self._connection.retry_when_due()

    def close(self) -> None:
        """Closes the output."""
        self._output.close()

    def _note_loss(self, error: LineError) -> None:
        if self.is_up:
            self._connection.lose(str(error))


def linked(output: LineOutput, longest_pause_s: float = LONGEST_PAUSE_S) -> OutputLink:
    """Returns the output itself where it is a link already, as behind an outbox; else a link."""
    if isinstance(output, OutputLink):
        return output
    return Link(output, longest_pause_s=longest_pause_s)
