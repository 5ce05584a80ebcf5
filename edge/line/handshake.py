"""The bits between the station and a PLC: pure state, no input or output.

docs/guides/plc.md draws it for the PLC's side.

Every part has a number, also one whose verdict could not be sent: 1 follows 65535, and 0 means
none. The line triggers only while READY is set. It counts with the station from the number it sees
when READY rises, which happens when no part is in hand. It takes a verdict when RESULT_VALID is set
and the number is that of the part it waits for, and acknowledges by writing that number back. So
the line never takes a late write of a hung PLC for another part, and an old acknowledge never
confirms a new part, as a bit would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntFlag

from edge.line.base import StationState
from edge.part.record import InspectionRecord
from inspection.verdict import Cause, Verdict

SEQUENCE_MAX = 65535
_RESTART_GAP = 256  # more writes of the earlier process than a hung PLC can still hold


class Bits(IntFlag):
    """The status word."""

    READY = 1
    BUSY = 2
    RESULT_VALID = 4
    PASS = 8
    REJECT = 16
    NO_VERDICT = 32
    FAULT = 64
    HEARTBEAT = 128
    REVIEW = 256


MEANINGS = {
    Bits.READY: "the station takes the next part: trigger only while it is set",
    Bits.BUSY: "reserved: at present never set",
    Bits.RESULT_VALID: "PASS, REJECT, NO_VERDICT, REVIEW, number, cause and trigger id belong to "
    "one part",
    Bits.PASS: "the part is good; never together with REJECT",
    Bits.REJECT: "the part is bad; never together with PASS",
    Bits.NO_VERDICT: "the part was not judged: the line takes its fail-safe action",
    Bits.FAULT: "the station inspects nothing: the line stops, or rejects every part",
    Bits.HEARTBEAT: "changes with every message; a still one means a dead station",
    Bits.REVIEW: "with REJECT: a person should look at the part",
}
"""What each bit says, in the words of the plant."""

VERDICT_BITS = {
    Verdict.PASS: Bits.PASS,
    Verdict.REVIEW: Bits.REJECT | Bits.REVIEW,
    Verdict.REJECT: Bits.REJECT,
    Verdict.NO_VERDICT: Bits.NO_VERDICT,
}
STATE_BITS = {
    StationState.READY: Bits.READY,
    StationState.BUSY: Bits.BUSY,
    StationState.FAULT: Bits.FAULT,
}
STATES = Bits.READY | Bits.BUSY | Bits.FAULT
NOTHING = Bits(0)


@dataclass(frozen=True)
class Signals:
    """The signals that the line sees at one moment.

    Attributes:
        sequence: of the last part, 1 to 65535; 0 before the first.
        trigger_id: of the verdict that is shown; empty without one.
        cause: of a NO_VERDICT that is shown; None otherwise.
    """

    bits: Bits = NOTHING
    sequence: int = 0
    trigger_id: str = ""
    cause: Cause | None = None


class Handshake:
    """The station's half of the handshake: each call returns the signals to write next.

    Args:
        acknowledged: the line acknowledges each verdict, and the station then takes it back.
            Otherwise a verdict stays until BUSY or FAULT begins, or until the first verdict or
            `show` after `hold_ms`; the caller waits for `held_s` before the next verdict.
        hold_ms: see `acknowledged`.
        sequence: number of the last verdict before this run, 0 to 65535.
        clock_ns: monotonic clock in nanoseconds.
    """

    def __init__(
        self,
        *,
        acknowledged: bool,
        hold_ms: float,
        sequence: int = 0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._acknowledged = acknowledged
        self._hold_ns = round(hold_ms * 1e6)
        self._clock_ns = clock_ns
        self._told_ns = 0
        self.signals = Signals(sequence=sequence)

    def continue_from(self, sequence: int, acknowledged: int = 0) -> None:
        """Continues from the numbers in the PLC, unless this process has counted already.

        Args:
            sequence: of the last verdict that an earlier process wrote.
            acknowledged: that the PLC holds. Where it kept this one over a power cut and lost the
                other, it would acknowledge a part that is still to come.
        """
        if self.signals.sequence == 0:
            jumped = _after_a_gap(sequence)
            if 0 < (acknowledged - jumped) % SEQUENCE_MAX <= _RESTART_GAP:
                jumped = _after_a_gap(acknowledged)
            self.signals = replace(self.signals, sequence=jumped)

    @property
    def held_s(self) -> float:
        """The seconds for which a verdict that nobody acknowledges must still be shown."""
        if self._acknowledged or Bits.RESULT_VALID not in self.signals.bits:
            return 0.0
        return max(0, self._told_ns + self._hold_ns - self._clock_ns()) / 1e9

    def result(self, record: InspectionRecord) -> Signals:
        """Returns the signals of the next verdict, which ends BUSY; a lost one counts too."""
        self.begin_hold()
        state = self.signals.bits & STATES & ~Bits.BUSY
        if Bits.BUSY in self.signals.bits:
            state |= Bits.READY
        return self._become(
            state | Bits.RESULT_VALID | VERDICT_BITS[record.verdict],
            sequence=self.signals.sequence % SEQUENCE_MAX + 1,
            trigger_id=record.trigger_id,
            cause=record.cause,
        )

    def begin_hold(self) -> None:
        """Counts `hold_ms` from now on: the verdict is shown where the line sees it."""
        self._told_ns = self._clock_ns()

    def takes(self, acknowledged_sequence: int) -> bool:
        """Returns True when the line acknowledged the shown verdict, and takes the verdict back."""
        if Bits.RESULT_VALID not in self.signals.bits:
            return False
        if acknowledged_sequence != self.signals.sequence:
            return False
        self.take_back()
        return True

    def take_back(self) -> Signals | None:
        """Returns the signals without the shown verdict; None when none is shown."""
        if Bits.RESULT_VALID not in self.signals.bits:
            return None
        return self._become(self.signals.bits & STATES)

    def show(self, state: StationState) -> Signals:
        """Returns the signals of the station's state; READY and a repeat may keep a verdict."""
        keeps = state is StationState.READY or STATE_BITS[state] in self.signals.bits
        if keeps and self.held_s > 0:
            bits = self.signals.bits & ~STATES | STATE_BITS[state]
            signals = self.signals
            return self._become(bits, trigger_id=signals.trigger_id, cause=signals.cause)
        return self._become(STATE_BITS[state])

    def safe(self, *, fault: bool) -> Signals:
        """Returns the safe state: no verdict, not ready; with FAULT after a failure."""
        return self._become(Bits.FAULT if fault else NOTHING)

    def hold(self, bits: Bits) -> Signals:
        """Returns the signals of a test: these bits, with the number of the last verdict.

        No part waits for that number, so a PLC that checks it takes no test for a verdict.
        """
        return self._become(bits)

    def _become(
        self,
        bits: Bits,
        *,
        sequence: int | None = None,
        trigger_id: str = "",
        cause: Cause | None = None,
    ) -> Signals:
        beat = ~self.signals.bits & Bits.HEARTBEAT
        self.signals = replace(
            self.signals,
            bits=bits & ~Bits.HEARTBEAT | beat,
            sequence=self.signals.sequence if sequence is None else sequence,
            trigger_id=trigger_id,
            cause=cause,
        )
        return self.signals


def _after_a_gap(sequence: int) -> int:
    return (sequence + _RESTART_GAP - 1) % SEQUENCE_MAX + 1


def fresh_sequence() -> int:
    """Returns a first number, new after each restart, where no peer can tell the last one."""
    return int(time.time()) % SEQUENCE_MAX + 1
