"""The contract of an encoder, which counts the travel of the conveyor."""

from __future__ import annotations

from typing import Protocol


class Encoder(Protocol):
    """Counts the way of the conveyor. Safe for threads; several may read one encoder."""

    def open(self) -> None:
        """Begin to count; nothing when it counts already.

        Raises:
            LineError: it cannot be opened; the message says what to check.
        """

    def position(self) -> int:
        """Counts since it was opened; it may go back where the encoder tells the direction.

        Raises:
            LineError: it is lost, or not open; `open` begins anew, from 0.
        """

    def close(self) -> None:
        """Release it. Safe to call twice, and without `open`."""
