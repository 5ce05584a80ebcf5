"""The contracts of triggers: one kind sees parts in frames, a peer announces them to the other."""

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
        frame_limit_ms: time from the trigger to the frame of the last view; a later frame does
            not count. None: half of the deadline. It should be less than half of the time between
            two parts, except with one camera that announces its parts itself.
    """

    frame_limit_ms: Milliseconds | None = None


class FiredConfig(KindConfig):
    """The settings of the kinds to which a peer announces parts.

    Attributes:
        debounce_ms: a trigger so soon after the last one is not a part; the station only counts it.
    """

    debounce_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0


@dataclass(frozen=True)
class Firing:
    """One part that a peer announced.

    Attributes:
        part_id: name of the part on the line; None without one.
        fired_ns: time of the announcement on the monotonic clock.
    """

    part_id: str | None = None
    fired_ns: int = field(default_factory=time.monotonic_ns)


class FrameTrigger(Protocol):
    """Sees parts in the frames of cameras that run by themselves."""

    @property
    def lost(self) -> str:
        """The reason why parts pass unseen; empty while they do not, as far as is known."""

    def announces(self, view: str) -> bool:
        """Returns whether the frames of a view show parts; those of another one only join them."""

    def opens(self, view: str, frame: Frame | None) -> bool:
        """Returns whether a frame that belongs to no part yet shows the next one.

        The pipeline calls it with every such frame, in order, one thread at a time.

        Args:
            frame: None for an unusable frame.
        """


@runtime_checkable
class FiredTrigger(Protocol):
    """Receives announcements of parts. One thread owns it from `open` to `close`."""

    def open(self) -> None:
        """Connects. The owner calls it again after every LineError, to replace a lost connection.

        Raises:
            LineError: the trigger cannot be opened; the message says what to check.
        """

    def wait(self, timeout_s: float) -> Firing | None:
        """Waits for the next part; returns None when none came within `timeout_s`.

        Raises:
            LineError: the connection is lost.
        """

    def close(self) -> None:
        """Disconnects. Safe to call twice, and without `open`."""


def part_id_from_text(text: str) -> str | None:
    """Returns the part id in a text of the line, stripped and printable; None without one.

    Accepts every text: the part is there under any name.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return printable.strip()[:PART_ID_MAX] or None
