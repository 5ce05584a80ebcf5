"""What every kind of trigger offers: it sees parts in frames, or it is told of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, Protocol, runtime_checkable

from pydantic import Field

from edge.part.frame import Frame
from inspection.config.loading import StrictModel

PART_ID_MAX = 128

Milliseconds = Annotated[float, Field(gt=0, le=3_600_000)]


class KindConfig(StrictModel):
    """The settings of every kind of trigger.

    Attributes:
        frame_limit_ms: from the trigger to the frame of the last view: a view without one by then
            has none. None: half of the deadline. With several cameras less than half of the time
            between two parts.
    """

    frame_limit_ms: Milliseconds | None = None


class FiredConfig(KindConfig):
    """The settings of the kinds that a peer tells of parts.

    Attributes:
        debounce_ms: a trigger that follows the one before so soon is not a part, and only counted.
    """

    debounce_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0


@dataclass(frozen=True)
class Firing:
    """One part announced from outside.

    Attributes:
        part_id: what the line calls it; None when it does not say.
        fired_ns: when it was announced, on the monotonic clock.
    """

    part_id: str | None = None
    fired_ns: int = field(default_factory=time.monotonic_ns)


class FrameTrigger(Protocol):
    """Sees parts in the frames of cameras that nobody else triggers."""

    def opens(self, view: str, frame: Frame | None) -> bool:
        """Returns whether a frame that belongs to no part yet shows the next one.

        Called with every such frame, in order, never by two threads at once.

        Args:
            frame: None for a frame that came and cannot be used.
        """


@runtime_checkable
class FiredTrigger(Protocol):
    """Is told of parts. One thread owns it from `open` to `close`."""

    def open(self) -> None:
        """Connect. Called again after every LineError: what is lost is connected anew.

        Raises:
            LineError: it cannot be opened; the message says what to check.
        """

    def wait(self, timeout_s: float) -> Firing | None:
        """Wait for the next part; None when none came within `timeout_s`.

        Raises:
            LineError: it is lost.
        """

    def close(self) -> None:
        """Disconnect. Safe to call twice, and without `open`."""


def part_id_from_text(text: str) -> str | None:
    """The part id in what the line sent: without blanks around it, and printable; None for none.

    It is never refused: the part is there whatever it is called.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return printable.strip()[:PART_ID_MAX] or None
