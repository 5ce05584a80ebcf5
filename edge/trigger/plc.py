"""A value in a PLC that the station polls, by any protocol of `edge.peers`.

A change to a value other than 0 is a trigger: the PLC may raise a bit and take it back, or count.
A value that the station finds when it connects is not: its part came before the station was READY.
The PLC writes the part id before the trigger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Annotated, Any, Generic, NamedTuple

from pydantic import Field

from edge.part.signal import Signal
from edge.peers.plc import Plc, SessionT, Work
from edge.trigger.base import Firing, part_id_from_text
from inspection.errors import LineError

PollMilliseconds = Annotated[float, Field(ge=1, le=1000)]
"""Time between two reads; the PLC must hold each value several times as long."""

_log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """One request for a value.

    Attributes:
        where: the address, for messages.
        work: asks a session for the value.
    """

    where: str
    work: Work[Any, Any]


class PlcTrigger(Generic[SessionT]):
    """Polls a PLC every `poll_ms`.

    A part whose id cannot be read is announced without one, and the loss of the PLC after it.

    Args:
        value: reads the trigger, an integer.
        part_id: reads the part id, a text; None where the PLC gives none.
    """

    def __init__(
        self, plc: Plc[SessionT], *, poll_ms: float, value: Reading, part_id: Reading | None
    ) -> None:
        self._plc = plc
        self._poll_s = poll_ms / 1e3
        self._value = value
        self._part_id = part_id
        self._last = 0
        self._read_ns: int | None = None
        self._last_part: tuple[str | None, int | None] = (None, None)
        self._lost: LineError | None = None

    def open(self) -> None:
        """Connects, and notes the present value."""
        self._lost = None
        self._plc.open()
        self._last = self._ask()
        self._read_part_id()  # a wrong place shows now, not with a part

    def wait(self, timeout_s: float) -> Firing | None:
        """Polls until the value changes."""
        if self._lost is not None:
            raise self._lost
        until_s = time.monotonic() + timeout_s
        while True:
            value = self._ask()
            last, self._last = self._last, value
            if value not in (0, last):
                fired_ns = time.monotonic_ns()
                return Firing(self._part_id_or_loss(), fired_ns)
            if time.monotonic() >= until_s:
                return None
            time.sleep(self._poll_s)

    def close(self) -> None:
        """Disconnects."""
        self._plc.close()

    def signals(self) -> Sequence[Signal]:
        """Returns the trigger and the part id as they were last read."""
        value = None if self._read_ns is None else self._last
        found = [Signal("trigger", self._value.where, value, self._read_ns, is_input=True)]
        if self._part_id is not None:
            where, part = self._part_id.where, self._last_part
            found.append(Signal("part id", where, *part, is_input=True))
        return found

    def _ask(self) -> int:
        value: int = self._plc.ask(*self._value)
        self._read_ns = time.monotonic_ns()
        return value

    def _part_id_or_loss(self) -> str | None:
        """Returns the part id; None also when the PLC is lost, which the next `wait` raises."""
        try:
            return self._read_part_id()
        except LineError as error:
            _log.warning("a part is announced without its id: %s", error)
            self._lost = error
            return None

    def _read_part_id(self) -> str | None:
        if self._part_id is None:
            return None
        text: str = self._plc.ask(*self._part_id)
        self._last_part = text, time.monotonic_ns()
        return part_id_from_text(text)
