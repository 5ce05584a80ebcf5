"""What every way out to the line offers the pipeline."""

from __future__ import annotations

from typing import Protocol

from edge.records import InspectionRecord


class LineOutput(Protocol):
    """Tells the line the verdicts. One thread at a time calls it."""

    def open(self) -> None:
        """Connect.

        Raises:
            LineError: it cannot be opened; the message says what to check.
        """

    def send(self, record: InspectionRecord) -> None:
        """Tell one verdict, NO_VERDICT included; returns when the line has it.

        Raises:
            LineError: it was not delivered. The output is called again for the next part.
        """

    def close(self) -> None:
        """Disconnect. Safe to call twice, and without `open`."""
