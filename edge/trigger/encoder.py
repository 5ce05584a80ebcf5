"""A trigger at every fixed number of counts of the conveyor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from edge.encoder import Encoder
from edge.trigger.base import FiredConfig, Firing
from inspection.errors import LineError

_POLL_S = 0.001


class EncoderTriggerConfig(FiredConfig):
    """Announces a part at every fixed number of counts of the line's `encoder`.

    Attributes:
        counts: between two parts.
    """

    kind: Literal["encoder"]
    counts: Annotated[int, Field(ge=1)]

    def driver(self, encoder: Encoder | None) -> EncoderTrigger:
        """Returns the trigger, not yet opened."""
        if encoder is None:
            raise LineError("trigger 'encoder' needs the encoder of the line")
        return EncoderTrigger(encoder, self.counts)


class EncoderTrigger:
    """Announces a part each time the conveyor has gone `counts` on.

    A conveyor that goes back and forth announces no part twice. The trigger announces each of
    several parts between two looks; the pipeline counts those that it cannot inspect as
    overtriggers.

    Args:
        encoder: the trigger opens it; its owner closes it.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self, encoder: Encoder, counts: int, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._encoder = encoder
        self._counts = counts
        self._sleep = sleep
        self._next = counts

    def open(self) -> None:
        """Counts from the present position of the conveyor."""
        self._encoder.open()
        self._next = self._encoder.position() + self._counts

    def wait(self, timeout_s: float) -> Firing | None:
        """Waits for the next part, with a look at the encoder every few milliseconds."""
        until_s = time.monotonic() + timeout_s
        while self._encoder.position() < self._next:
            if time.monotonic() >= until_s:
                return None
            self._sleep(_POLL_S)
        self._next += self._counts
        return Firing()

    def close(self) -> None:
        """Does nothing: the encoder stays its owner's."""
