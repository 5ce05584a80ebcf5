"""Writes down the troubles of a line with their begin and end, to be read the next morning.

It looks at the state of the line every second: a trouble that is over sooner may be missed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol

from edge.station.troubles import Trouble, troubles_in
from edge.store.troubles import KEPT, PastTrouble, write_troubles
from edge.store.writer import Work
from inspection.errors import RecordsError

_PERIOD_S = 1.0
_CLOSE_S = 1.0

_log = logging.getLogger(__name__)


class Changes(Protocol):
    """Has changes of the database made; see `StationRecords.change`."""

    def change(self, work: Work) -> None:
        """Raises RecordsError when nothing can be written now."""


class TroubleWatch:
    """Watches one line. `look` is for one thread.

    Args:
        state: returns the state of the line, as it answers to "state".
        records: while they cannot be written, the newest troubles wait in memory.
        clock: monotonic clock in seconds.
    """

    def __init__(
        self,
        state: Callable[[], Mapping[str, Any]],
        records: Changes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._records = records
        self._clock = clock
        self._present: dict[tuple[str, str, str], tuple[PastTrouble, float]] = {}
        self._unwritten: deque[PastTrouble] = deque(maxlen=KEPT)
        self._ended = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Looks again and again, on a thread, within the block."""
        thread = threading.Thread(target=self._run, name="troubles", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(_CLOSE_S)

    def look(self) -> None:
        """Looks once, and writes down the troubles that have begun or ended since."""
        state = self._state()
        if not state["pipeline"]["is_running"]:
            return  # the line starts or ends
        found = {one.key: one for one in troubles_in(state)}
        for key in self._present.keys() - found.keys():
            trouble, begun_s = self._present.pop(key)
            self._unwritten.append(trouble._replace(lasted_s=self._clock() - begun_s))
        for key, one in found.items():
            if key not in self._present:
                trouble = _begun_now(one)
                self._present[key] = trouble, self._clock()
                self._unwritten.append(trouble)
        if self._unwritten:
            self._write()

    def _write(self) -> None:
        waiting = list(self._unwritten)
        self._unwritten.clear()
        try:
            self._records.change(lambda connection: write_troubles(connection, waiting))
        except RecordsError:  # the status of the records says so
            self._unwritten.extend(waiting)

    def _run(self) -> None:
        told = ""
        while not self._ended.wait(_PERIOD_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a defect: the watch goes on, and tells once
                if repr(error) != told:
                    _log.exception("troubles of the line may be missing in its records")
                told = repr(error)


def _begun_now(trouble: Trouble) -> PastTrouble:
    return PastTrouble(*trouble, begun_utc=datetime.now(timezone.utc), lasted_s=None)
