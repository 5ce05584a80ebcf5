"""What every way out to the line offers the pipeline."""

from __future__ import annotations

from typing import Protocol

from edge.records import InspectionRecord


class LineOutput(Protocol):
    """Tells the line, or a person, about each verdict. One thread owns it."""

    def open(self) -> None:
        """Connect; LineError when it cannot."""

    def send(self, record: InspectionRecord) -> None:
        """Deliver one verdict; LineError when it did not arrive."""

    def close(self) -> None:
        """Disconnect. Safe to call twice, and without `open`."""
