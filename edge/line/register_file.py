"""The parts on their way to the gate, in a file that survives the death of the process.

A thread writes it, soon after each part: a slow disk holds up neither the gate nor a verdict. After
a kill, the parts that were not written yet are among the unseen, and a part whose end was not
written is on its way again.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from edge.part.journal import Journal

_PASSED = "passed"  # key of the last part that passed the gate; no trigger id, which has a number

_log = logging.getLogger(__name__)


class TrackedPart(NamedTuple):
    """A judged part.

    Attributes:
        position: of the belt when the part was at the camera.
        is_rejected: the gate opens for it.
    """

    position: int
    is_rejected: bool


class RegisterFile:
    """Keeps the parts over a restart, as long as positions of the belt do. Safe for threads.

    Args:
        name: for messages.
        journal: the file; this object opens and closes it.
        epoch: of the belt, see `Belt`.
    """

    def __init__(self, name: str, journal: Journal, epoch: str) -> None:
        self._name = name
        self._journal = journal
        self._epoch = epoch
        self._is_kept = True
        self._open: set[str] = set()  # belongs to the thread
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"{name} file", daemon=True)

    def open(self) -> dict[str, TrackedPart]:
        """Begins to write; returns the parts of an earlier process, by trigger id.

        Raises:
            OSError: the file cannot be used.
        """
        self._thread.start()
        entries = self._journal.open()
        known = {key: part for key, entry in entries.items() if (part := self._part(entry))}
        passed = known.pop(_PASSED, None)
        left = {
            trigger_id: part
            for trigger_id, part in known.items()
            if passed is None or part.position > passed.position
        }
        kept = {*left, _PASSED} if left else set()
        self._journal.settle(entries.keys() - kept)
        self._open |= left.keys()
        return left

    def add(self, trigger_id: str, part: TrackedPart) -> None:
        """Enters a part. Waits for nothing."""
        self._calls.put(partial(self._add, trigger_id, part))

    def settle(self, trigger_id: str, part: TrackedPart) -> None:
        """Removes a part that passed the gate. Waits for nothing."""
        self._calls.put(partial(self._settle, trigger_id, part))

    def close(self, limit_s: float) -> None:
        """Writes what waits, within the limit; the parts stay in the file. Safe without `open`."""
        self._calls.put(None)
        if self._thread.ident is None:
            return
        self._thread.join(limit_s)
        if self._thread.is_alive():
            _log.warning("%s: the disk does not answer: the last parts are not kept", self._name)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            self._attempt(call)
        self._journal.close()

    def _add(self, trigger_id: str, part: TrackedPart) -> None:
        self._open.add(trigger_id)
        self._journal.add(trigger_id, self._entry(part))

    def _settle(self, trigger_id: str, part: TrackedPart) -> None:
        self._open.discard(trigger_id)
        if self._open:  # the journal shortens its file later: a restart would find the part there
            self._journal.add(_PASSED, self._entry(part))
            self._journal.settle([trigger_id])
        else:
            self._journal.settle([trigger_id, _PASSED])

    def _entry(self, part: TrackedPart) -> str:
        return json.dumps([self._epoch, *part])

    def _part(self, entry: str) -> TrackedPart | None:
        """Returns the part of an entry; None when its position means nothing here."""
        try:
            epoch, position, is_rejected = json.loads(entry)
        except ValueError:
            return None  # of another version of this program
        return TrackedPart(position, is_rejected) if epoch == self._epoch else None

    def _attempt(self, call: Callable[[], None]) -> None:
        """Calls the journal; parts are tracked without it, too."""
        try:
            call()
        except OSError as error:
            if self._is_kept:
                _log.warning("%s: parts are not kept over a restart: %s", self._name, error)
            self._is_kept = False
        else:
            self._is_kept = True
