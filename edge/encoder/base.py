"""The contract of an encoder, which counts the travel of the conveyor."""

from __future__ import annotations

from typing import Protocol


class Encoder(Protocol):
    """Counts the travel of the conveyor. Safe for threads; several may read one encoder."""

    def open(self) -> None:
        """Starts to count; does nothing when it counts already.

        Raises:
            LineError: the encoder cannot be opened; the message says what to check.
        """

    def position(self) -> int:
        """Returns the counts since `open`; they may fall where the encoder senses the direction.

        Raises:
            LineError: the encoder is lost, or not open; `open` starts again from 0.
        """

    def close(self) -> None:
        """Releases the encoder. Safe to call twice, and without `open`."""
