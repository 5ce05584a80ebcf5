"""The shift register of the parts between the camera and the gate.

A part is at the gate when the belt has moved by the distance between the two, counted in time or
by an encoder. Each part that was judged is entered with its verdict. What passes the camera while
the station sees nothing, from its start until it is ready and during a fault, is not known to
anybody: the gate is held open for it, unless the configuration lets it pass.

With a journal the register survives the death of the process, as long as positions do: those of
the clock until the device starts again, those of an encoder, which counts anew, not at all.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from edge.line.belt import Belt
from edge.line.timetable import Timetable
from edge.part.journal import Journal
from inspection.errors import LineError

_CLOSE_S = 1.0

_log = logging.getLogger(__name__)


class Gate(NamedTuple):
    """What opens the gate, now.

    Attributes:
        pulse: for one part; LineError when it cannot.
        hold: open (True) until it is let go (False), as soon as it can.
    """

    pulse: Callable[[], None]
    hold: Callable[[bool], None]


class _Part(NamedTuple):
    position: int  # at the camera
    is_rejected: bool


class ShiftRegister:
    """Opens the gate for the parts that are to be rejected. Safe for threads.

    Args:
        name: for messages.
        distance: between camera and gate, in the unit of the belt.
        tolerance: how far a part reaches behind its position, in the same unit; a gate that opens
            later than so is told.
        gate: called on the register's thread.
        journal: where the parts are kept over a restart; None: nowhere.
        rejects_unseen: whether the gate is held open for what nobody has seen.

    Attributes:
        failure: why parts are not tracked any more; None while they are.
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
        self._journal = journal
        self._rejects_unseen = rejects_unseen
        self._parts: dict[str, _Part] = {}
        self._troubles: list[str] = []
        self.failure: OSError | None = None
        self._is_blind = False
        self._last: int | None = None  # position of the last part at the camera
        self._is_kept = True
        self._timetable = Timetable(name, self._fail, self._now, belt.pause_s)

    def open(self) -> None:
        """Take up the parts of an earlier process; blind until `see`.

        Raises:
            OSError: the journal cannot be used, or the belt is lost.
        """
        for trigger_id, part in self._left_parts().items():
            self._track(trigger_id, part)
        self._lose_sight(self._now() - self._distance)
        self._timetable.start()

    def enter(self, trigger_id: str, captured_ns: int, *, is_rejected: bool) -> None:
        """A part was judged that was at the camera at `captured_ns`.

        Raises:
            LineError: it has passed the gate already, which opens at once where it is rejected;
                or the register does not work.
        """
        try:
            part = _Part(self._belt.position(captured_ns), is_rejected)
            now = self._now()
        except OSError as error:
            self._fail(error)
            raise LineError(f"{self._name}: {trigger_id} is not tracked: {error}") from error
        late = now - part.position - self._distance
        if late < 0:
            self._keep(trigger_id, part)
            self._track(trigger_id, part)
        elif is_rejected:
            self._timetable.at(now, lambda: self._reject(trigger_id))
            raise LineError(
                f"{self._name}: {trigger_id} passed the gate {self._belt.in_words(late)} ago; "
                "move the gate, or lower deadline_ms below its travel"
            )

    def lose_sight(self) -> None:
        """From now on nobody sees what passes the camera."""
        now = self._checked_now()
        if now is not None and not self._is_blind:
            self._lose_sight(now)

    def see(self) -> None:
        """From now on each part at the camera is judged."""
        now = self._checked_now()
        if now is not None and self._is_blind:
            self._is_blind = False
            self._timetable.at(now + self._distance, lambda: self._gate.hold(False))

    def report(self) -> None:
        """Tell what went wrong at the gate since the last call.

        Raises:
            LineError: a gate opened late, or parts are not tracked any more.
        """
        troubles, self._troubles = self._troubles, []
        if troubles:
            raise LineError(f"{self._name}: {'; '.join(troubles)}")

    def close(self) -> None:
        """Open the gate no more; parts on the way stay in the journal."""
        self._timetable.close(_CLOSE_S)
        rejects = sorted(name for name, part in self._parts.items() if part.is_rejected)
        if rejects:
            parts = ", ".join(rejects)
            _log.error("%s: closed before these parts reached the gate: %s", self._name, parts)
        self._belt.close()
        if self._journal is not None:
            self._journal.close()

    def _now(self) -> int:
        return self._belt.position(time.monotonic_ns())

    def _checked_now(self) -> int | None:
        """The position; None when the belt is lost."""
        try:
            return self._now()
        except OSError as error:
            self._fail(error)
            return None

    def _left_parts(self) -> dict[str, _Part]:
        if self._journal is None:
            return {}
        parts = {}
        for trigger_id, entry in self._journal.open().items():
            try:
                epoch, position, is_rejected = json.loads(entry)
            except ValueError:
                epoch = None  # of another version of this program
            if epoch == self._belt.epoch:
                parts[trigger_id] = _Part(position, is_rejected)
            else:
                self._journal.settle([trigger_id])  # it is among the unseen now
        return parts

    def _keep(self, trigger_id: str, part: _Part) -> None:
        if self._journal is None:
            return
        try:
            self._journal.add(trigger_id, json.dumps([self._belt.epoch, *part]))
        except OSError as error:
            if self._is_kept:
                _log.warning("%s: parts are not kept over a restart: %s", self._name, error)
            self._is_kept = False

    def _track(self, trigger_id: str, part: _Part) -> None:
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
        if self._journal is not None:
            self._journal.settle([trigger_id])

    def _reject(self, trigger_id: str) -> None:
        try:
            self._gate.pulse()
        except LineError as error:
            _log.error("the gate did not open for %s: %s", trigger_id, error)

    def _lose_sight(self, position: int) -> None:
        """From a position on, but not before the last part that was seen has passed."""
        self._is_blind = True
        if self._last is not None:
            position = max(position, self._last + self._tolerance)
        if self._rejects_unseen:
            self._timetable.at(position + self._distance, lambda: self._gate.hold(True))

    def _fail(self, error: OSError) -> None:
        """Nothing is known any more; told once."""
        if self.failure is not None:
            return
        self.failure = error
        self._troubles.append(f"parts are not tracked to the gate any more: {error}")
        if self._rejects_unseen:
            self._gate.hold(True)
