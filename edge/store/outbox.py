"""Verdicts that are stored before they are sent, for outputs behind a network.

The entry of a verdict is committed together with its record and deleted when the output has
confirmed it. Each output is sent its verdicts in order, each at least once: `trigger_id` makes a
repeat harmless. One that refuses a verdict for good holds up those behind it.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from edge.line.base import LineOutput, StationState
from edge.line.link import Link
from edge.part.record import InspectionRecord
from edge.peers.reconnect import Pauses
from edge.store.outbox_table import OutboxTable, Waiting
from inspection.errors import LineError, RecordsError

_LONGEST_PAUSE_S = 10.0
_SHORT_IDLE_S, _IDLE_S = 0.1, 0.5

_log = logging.getLogger(__name__)


class StoredOutput:
    """An output in front of which verdicts wait in the database.

    It is a `LineOutput` that never makes the pipeline wait. `start` and `stop` frame the life of
    its thread, which alone calls the real output; an output out of reach is not an error, also at
    the start.

    Args:
        name: in the database; the same after a restart.
        folder: of the database.
        max_waiting: verdicts that may wait; a further one is an error to the pipeline.
        on_damage: told when the database is damaged.

    Attributes:
        table: the verdicts in the database.
    """

    def __init__(
        self,
        output: LineOutput,
        *,
        name: str,
        folder: Path,
        max_waiting: int,
        on_damage: Callable[[str], None],
    ) -> None:
        self.name = name
        self.table = OutboxTable(name, folder, on_damage)
        self._max_waiting = max_waiting
        self._output = output
        self._link = Link(output)
        self._lock = threading.Lock()
        self._reserved: set[str] = set()
        self._waiting = 0
        self._wake = threading.Event()
        self._state: StationState | None = None
        self._failing_since: datetime | None = None
        self._told: set[str] = set()  # reasons of this failure that are in the log
        self._pauses = Pauses(_LONGEST_PAUSE_S)
        self._retry_at = 0.0
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def waiting(self) -> int:
        """Verdicts that are not confirmed yet."""
        return self._waiting

    @property
    def is_up(self) -> bool:
        """Whether there is room for a verdict."""
        return self._waiting < self._max_waiting

    @property
    def reaches_receiver(self) -> bool:
        """Whether the real output works, as far as is known."""
        return self._link.is_up

    def start(self, waiting: int) -> None:
        """Begin to send; `waiting` verdicts wait from earlier."""
        self._waiting = waiting
        self.table.add(waiting)
        self._thread.start()

    def stop(self, limit_s: float) -> None:
        """Send the waiting verdicts while the output takes them, within `limit_s`, and close it."""
        self._stop_at = time.monotonic() + limit_s
        self._wake.set()
        self._thread.join(limit_s + _LONGEST_PAUSE_S)
        if self._waiting:
            _log.warning("%s: %d verdicts wait for the next start", self.name, self._waiting)

    def open(self) -> None:
        """Does nothing: the thread opens the real output."""

    def send(self, record: InspectionRecord) -> None:
        """Reserve a place in the outbox; the verdict is stored with its record."""
        with self._lock:
            if self._waiting >= self._max_waiting:
                raise LineError(
                    f"{self.name}: the outbox is full with {self._waiting} verdicts, and that of "
                    f"{record.trigger_id} is not sent; see what keeps the receiver from taking them"
                )
            self._waiting += 1
            self._reserved.add(record.trigger_id)

    def show(self, state: StationState) -> None:
        """Show the state as soon as the thread is free."""
        with self._lock:
            self._state = state
        self._wake.set()

    def close(self) -> None:
        """Show FAULT: the pipeline has ended. Waiting verdicts are sent until `stop`."""
        self.show(StationState.FAULT)

    def claims(self, record: InspectionRecord) -> bool:
        """Returns whether a place is reserved for a record; ends the reservation."""
        with self._lock:
            if record.trigger_id not in self._reserved:
                return False
            self._reserved.remove(record.trigger_id)
            return True

    def give_up(self, count: int = 1) -> None:
        """Give back the places of verdicts that will not come."""
        with self._lock:
            self._waiting -= count

    def wake(self) -> None:
        """Wake the thread: there is something to send."""
        self._wake.set()

    def _run(self) -> None:
        self._attempt(self._open)
        while not self._is_done():
            self._wake.wait(self._idle_s())
            self._wake.clear()
            self._attempt(self._work)
        self.table.close()
        self._link.close()

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - goes on after a pause, and is logged
            is_defect = not isinstance(error, sqlite3.Error | RecordsError)
            self._fail(f"the outbox fails: {error}", exc_info=is_defect)
            self.table.close()

    def _open(self) -> None:
        with contextlib.suppress(LineError):  # the first verdict that cannot be sent reports it
            self._link.open()

    def _idle_s(self) -> float:
        """Seconds until the thread looks for work again, unless it is woken."""
        if self._failing_since is None:
            return _SHORT_IDLE_S
        return min(_IDLE_S, max(_SHORT_IDLE_S, self._retry_at - time.monotonic()))

    def _is_done(self) -> bool:
        """Returns whether to end: after `stop`, when all is sent, or the output fails."""
        if self._stop_at is None:
            return False
        fails = self._failing_since is not None
        return not self._waiting or fails or time.monotonic() >= self._stop_at

    def _work(self) -> None:
        self._show()
        while self._waiting and time.monotonic() >= self._retry_at:
            entries = self.table.read()
            if not entries:
                return
            for entry in entries:
                if not self._forward(entry):
                    return
                self._show()
                if self._stop_at is not None and time.monotonic() >= self._stop_at:
                    return

    def _show(self) -> None:
        with self._lock:
            state, self._state = self._state, None
        if state is None:
            return
        try:
            self._link.show(state)
        except LineError as error:
            self._fail(str(error))
        else:
            if self._link.is_up and not self._waiting:
                self._recover()

    def _forward(self, entry: Waiting) -> bool:
        try:
            self._link.send(entry.record)
        except LineError as error:
            self._fail(str(error))
            return False
        self._recover()
        if self.table.confirm(entry):
            self.give_up()
        return True

    def _fail(self, why: str, *, exc_info: bool = False) -> None:
        """Pause, longer after every failure; log each reason once."""
        if self._failing_since is None:
            self._failing_since = datetime.now(timezone.utc)
        if why not in self._told:
            self._told.add(why)
            _log.warning(
                "%s: nothing is sent since %s, %d verdicts wait: %s",
                *(self.name, _clock(self._failing_since), self._waiting, why),
                exc_info=exc_info,
            )
        self._retry_at = time.monotonic() + self._pauses.next_s()

    def _recover(self) -> None:
        """Log the end of a failure."""
        if self._failing_since is None:
            return
        _log.warning(
            "%s: takes verdicts again, nothing was sent since %s; %d waited",
            *(self.name, _clock(self._failing_since), self._waiting),
        )
        self._failing_since = None
        self._told.clear()
        self._pauses.reset()


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
