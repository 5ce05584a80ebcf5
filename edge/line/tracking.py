"""The shift register of the parts between the camera and the gate.

A part is at the gate when the belt has moved by the distance between the two, counted in time or
by an encoder. The register holds each judged part with its verdict. Parts that pass the camera
while the station sees nothing, from its start until it is ready and during a fault, are unknown:
the gate stays open for them, unless the configuration lets them pass.

With a journal the register survives the death of the process, as long as positions do: positions of
the clock hold until the device restarts; those of an encoder end with the process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from edge.line.belt import Belt
from edge.line.register_file import RegisterFile, TrackedPart
from edge.line.timetable import Timetable
from edge.part.journal import Journal
from inspection.errors import LineError

_CLOSE_S = 1.0

_log = logging.getLogger(__name__)


class Gate(NamedTuple):
    """The actuator of the gate.

    Attributes:
        pulse: opens the gate for one part; raises LineError when it cannot.
        hold: holds the gate open (True) or lets it close (False), as soon as possible.
    """

    pulse: Callable[[], None]
    hold: Callable[[bool], None]


@dataclass
class _Unseen:
    """A stretch of the belt that passes the camera unseen; `end` is None while it goes on."""

    begin: int
    end: int | None = None


class ShiftRegister:
    """Opens the gate for the rejected parts. Safe for threads.

    Args:
        name: for messages.
        distance: between camera and gate, in the unit of the belt.
        tolerance: length of a part behind its position, in the same unit; `report` tells of a gate
            that opens later.
        gate: the register calls it on its thread.
        journal: keeps the parts over a restart; None: a restart loses them. See `RegisterFile`.
        rejects_unseen: holds the gate open for unseen parts.

    Attributes:
        failure: the reason why parts are no longer tracked; None while they are.
    """

    def __init__(
        self,
        *,
        name: str,
        distance: int,
        tolerance: int,
        belt: Belt,
        gate: Gate,
        journal: Journal | None,
        rejects_unseen: bool,
    ) -> None:
        self._name = name
        self._distance = distance
        self._tolerance = tolerance
        self._belt = belt
        self._gate = gate
        self._file = None if journal is None else RegisterFile(name, journal, belt.epoch)
        self._rejects_unseen = rejects_unseen
        self._parts: dict[str, TrackedPart] = {}
        self._troubles: list[str] = []
        self.failure: OSError | None = None
        self._unseen: _Unseen | None = None
        self._last: int | None = None  # position of the last part at the camera
        self._timetable = Timetable(name, self._fail, self._now, belt.pause_s)

    def open(self) -> None:
        """Takes over the parts of an earlier process; the register is blind until `see`.

        Raises:
            OSError: the journal cannot be used, or the belt is lost.
        """
        left = {} if self._file is None else self._file.open()
        for trigger_id, part in left.items():
            self._track(trigger_id, part)
        self._lose_sight(self._now() - self._distance)
        self._timetable.start()

    def enter(self, trigger_id: str, captured_ns: int, *, is_rejected: bool) -> None:
        """Enters a judged part that was at the camera at `captured_ns` on the monotonic clock.

        Raises:
            LineError: a rejected part has passed the gate already, which opens at once; or the
                register does not work.
        """
        try:
            part = TrackedPart(self._belt.position(captured_ns), is_rejected)
            now = self._now()
        except OSError as error:
            self._fail(error)
            raise LineError(f"{self._name}: {trigger_id} is not tracked: {error}") from error
        late = now - part.position - self._distance
        if late < 0:
            if self._file is not None:
                self._file.add(trigger_id, part)
            self._track(trigger_id, part)
        elif is_rejected:
            self._timetable.at(now, lambda: self._reject(trigger_id))
            raise LineError(
                f"{self._name}: {trigger_id} passed the gate {self._belt.in_words(late)} ago; "
                "move the gate, or lower deadline_ms below its travel"
            )

    def lose_sight(self) -> None:
        """Notes that from now on parts pass the camera unseen."""
        now = self._checked_now()
        if now is not None and self._unseen is None:
            self._lose_sight(now)

    def see(self) -> None:
        """Notes that from now on the station judges each part at the camera."""
        now, unseen = self._checked_now(), self._unseen
        if now is not None and unseen is not None:
            self._unseen = None
            unseen.end = max(now, unseen.begin)
            self._timetable.at(unseen.end + self._distance, lambda: self._gate.hold(False))

    def report(self) -> None:
        """Raises the troubles at the gate since the last call.

        Raises:
            LineError: the gate opened late, or parts are no longer tracked.
        """
        troubles, self._troubles = self._troubles, []
        if troubles:
            raise LineError(f"{self._name}: {'; '.join(troubles)}")

    def close(self) -> None:
        """Stops opening the gate; parts on the way stay in the journal."""
        self._timetable.close(_CLOSE_S)
        rejects = sorted(name for name, part in self._parts.items() if part.is_rejected)
        if rejects:
            parts = ", ".join(rejects)
            _log.error("%s: closed before these parts reached the gate: %s", self._name, parts)
        self._belt.close()
        if self._file is not None:
            self._file.close(_CLOSE_S)

    def _now(self) -> int:
        return self._belt.position(time.monotonic_ns())

    def _checked_now(self) -> int | None:
        """Returns the position; None when the belt is lost."""
        try:
            return self._now()
        except OSError as error:
            self._fail(error)
            return None

    def _track(self, trigger_id: str, part: TrackedPart) -> None:
        self._parts[trigger_id] = part
        self._last = part.position if self._last is None else max(self._last, part.position)
        due = part.position + self._distance
        self._timetable.at(due, lambda: self._pass_gate(trigger_id, due))

    def _pass_gate(self, trigger_id: str, due: int) -> None:
        part = self._parts.pop(trigger_id)
        if part.is_rejected:
            self._reject(trigger_id)
            late = self._now() - due
            if late > self._tolerance:
                words = self._belt.in_words(late)
                self._troubles.append(f"the gate opened {words} late for {trigger_id}")
        if self._file is not None:
            self._file.settle(trigger_id, part)

    def _reject(self, trigger_id: str) -> None:
        try:
            self._gate.pulse()
        except LineError as error:
            _log.error("the gate did not open for %s: %s", trigger_id, error)

    def _lose_sight(self, position: int) -> None:
        """Treats parts as unseen from `position` on, after the last seen part at the earliest."""
        if self._last is not None:
            position = max(position, self._last + self._tolerance)
        unseen = self._unseen = _Unseen(position)
        if self._rejects_unseen:
            self._timetable.at(position + self._distance, lambda: self._hold_for(unseen))

    def _hold_for(self, unseen: _Unseen) -> None:
        if unseen.end != unseen.begin:  # else the station saw again within the last part
            self._gate.hold(True)

    def _fail(self, error: OSError) -> None:
        """Notes the first failure of the tracking; `report` tells it once."""
        if self.failure is not None:
            return
        self.failure = error
        self._troubles.append(f"parts are no longer tracked to the gate: {error}")
        if self._rejects_unseen:
            self._gate.hold(True)
