"""An encoder without a conveyor."""

from __future__ import annotations

from inspection.errors import LineError


class Counter:
    """An encoder that the test turns.

    Attributes:
        looks: how often its position was asked for.
    """

    def __init__(self) -> None:
        self.at = 0
        self.looks = 0
        self.is_open = False
        self.error: LineError | None = None

    def open(self) -> None:
        self.is_open = True

    def position(self) -> int:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.at

    def close(self) -> None:
        self.is_open = False
